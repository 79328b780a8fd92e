"""`lockgate store`: what an operator sees of it, on both databases."""

from pathlib import Path

import pytest

from runtime.command.exits import Exit
from runtime.command.line import run_line
from runtime.store.sqlite import SqliteDatabase
from tests.store.postgres_server import PostgresServer


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCKGATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("LOCKGATE_CONFIG", raising=False)
    return tmp_path / "state"


def test_a_store_is_described_migrated_saved_and_brought_back(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    assert run_line(["store", "info"]) == Exit.SUCCESS
    assert capsys.readouterr().out == f"{state}/store.sqlite: not made yet\n"
    assert run_line(["store", "migrate"]) == Exit.SUCCESS
    assert capsys.readouterr().out == "schema none -> 0001\n"
    assert run_line(["store", "info"]) == Exit.SUCCESS
    assert capsys.readouterr().out.splitlines() == [
        f"{state}/store.sqlite",
        "schema      0001",
        "executions  none",
        "approvals   0 open",
        "sessions    0 open",
        "bytes       0 of 8589934592, of 0 tenants",
    ]
    assert run_line(["store", "backup", "saved"]) == Exit.SUCCESS
    assert run_line(["store", "restore", "saved"]) == Exit.SUCCESS
    assert capsys.readouterr().out.count("saved: 0 executions, 0 calls, 0 approvals, 0 sessions\n") == 2


def test_nothing_is_restored_into_a_store_that_a_gateway_uses(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    assert run_line(["store", "migrate"]) == Exit.SUCCESS
    assert run_line(["store", "backup", "saved"]) == Exit.SUCCESS
    gateway = SqliteDatabase(state / "store.sqlite")
    assert gateway.claim()
    try:
        assert run_line(["store", "restore", "saved"]) == Exit.INFRASTRUCTURE
        assert capsys.readouterr().err == "lockgate: a gateway uses the store; stop the service first\n"
    finally:
        gateway.close()


def test_a_password_is_read_from_its_file_and_told_to_nobody(
    capsys: pytest.CaptureFixture[str], postgres: PostgresServer, tmp_path: Path
) -> None:
    name = postgres.new_database()
    (tmp_path / "password").write_text(postgres.password + "\n")
    url = f"postgresql://lockgate@127.0.0.1:{postgres.port}/{name}"
    store = f"store: {{kind: postgres, url: '{url}', password: {{file: password}}}}"
    (tmp_path / "lockgate.yaml").write_text(store)
    assert run_line(["store", "migrate"]) == Exit.SUCCESS
    assert run_line(["store", "info"]) == Exit.SUCCESS
    (tmp_path / "password").write_text("another\n")
    assert run_line(["store", "info"]) == Exit.INFRASTRUCTURE
    told = capsys.readouterr()
    assert "refused the user or the password (SQLSTATE 28P01)" in told.err
    assert "another" not in told.err
    assert postgres.password not in told.out + told.err


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        ("{kind: postgres, url: 'postgresql://u:hunter2@h/d'}", "the URL has a password, which does not belong here"),
        ("{kind: postgres, url: 'mysql://u@h/d'}", "is not of the form postgresql://user@host:port/database"),
        ("{kind: postgres, url: 'postgresql://u@h/d?sslmode=disable'}", "?host=/directory of a UNIX socket"),
        ("{kind: postgres, url: 'postgresql://u@h/d', password: {}}", "write one of the two"),
        ("{kind: oracle}", "write kind: sqlite, which is the default, or kind: postgres"),
        ("{quotas: {bytes: 1}}", "must be at least 1048576"),
    ],
)
def test_a_configuration_that_cannot_be_used_says_why(
    store: str, problem: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "lockgate.yaml").write_text(f"store: {store}\n")
    assert run_line(["store", "info"]) == Exit.REFUSED
    told = capsys.readouterr().err
    assert problem in told
    assert "hunter2" not in told


def test_a_variable_that_is_not_set_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    store = "store: {kind: postgres, url: 'postgresql://u@127.0.0.1/d', password: {env: NO_SUCH_VARIABLE}}\n"
    (tmp_path / "lockgate.yaml").write_text(store)
    assert run_line(["store", "info"]) == Exit.INFRASTRUCTURE
    assert "the environment variable NO_SUCH_VARIABLE is not set" in capsys.readouterr().err
