"""PostgreSQL over a network: the server's certificate and name are verified, and the password goes to nobody else."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.store.changes import PutExecution
from runtime.store.errors import StoreUnavailableError
from runtime.store.postgres import Login, PostgresDatabase
from runtime.store.sql_store import SqlStore
from tests.egress.origin import TestAuthority
from tests.store.examples import execution
from tests.store.postgres_server import PostgresServer


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> TestAuthority:
    return TestAuthority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def with_tls(postgres: PostgresServer, authority: TestAuthority) -> Iterator[PostgresServer]:
    authority.server("127.0.0.1")
    postgres.speak_tls((authority.file.parent / "127.0.0.1.pem").read_bytes())
    yield postgres
    postgres.speak_no_tls()


async def test_a_server_with_a_verified_certificate_is_spoken_to_in_tls(
    with_tls: PostgresServer, authority: TestAuthority
) -> None:
    name = with_tls.new_database()
    store = SqlStore(PostgresDatabase(with_tls.login(name, tls=True, ca_file=str(authority.file))))
    await store.open()
    await store.write(PutExecution(execution()))
    used = with_tls.command(
        "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
        f"WHERE datname = '{name}' AND application_name = 'lockgate'"
    )
    assert used == [[True]]
    await store.close()


async def refused(login: Login) -> str:
    with pytest.raises(StoreUnavailableError) as caught:
        await SqlStore(PostgresDatabase(login)).open()
    return str(caught.value)


async def test_a_server_whose_certificate_nobody_vouches_for_is_refused(
    with_tls: PostgresServer, tmp_path: Path
) -> None:
    other = TestAuthority(tmp_path)
    said = await refused(with_tls.login("postgres", tls=True, ca_file=str(other.file)))
    assert "its certificate is not to be trusted" in said


async def test_a_server_whose_certificate_names_another_is_refused(
    with_tls: PostgresServer, authority: TestAuthority
) -> None:
    said = await refused(with_tls.login("postgres", host="localhost", tls=True, ca_file=str(authority.file)))
    assert "its certificate is not to be trusted" in said


def test_tls_always_verifies_and_a_unix_socket_needs_none() -> None:
    over_network = Login.of("postgresql://u@db.internal/d", None).arguments()
    assert over_network["ssl_context"].verify_mode == ssl.CERT_REQUIRED
    assert over_network["ssl_context"].check_hostname
    local = Login.of("postgresql://u@/d?host=/run/postgresql", None).arguments()
    assert (local["unix_sock"], local["ssl_context"]) == ("/run/postgresql/.s.PGSQL.5432", False)
