"""`lockgate sessions`: against a service that runs, and what its lines say."""

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from runtime.client import Client, execute_request, local_context
from runtime.command.exits import Exit
from runtime.command.line import run_line
from runtime.command.sessions import line
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell, CellOptions
from tests.cell import open_shared_state, running_cell

PROFILE = {
    "name": "kept",
    "version": 1,
    "languages": ["javascript", "python"],
    "environments": ["dev"],
    "sessions": {"languages": ["javascript"]},
}


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    directory = tmp_path_factory.mktemp("sessions")
    directory.joinpath("profiles").mkdir()
    directory.joinpath("profiles", "kept.yaml").write_text(yaml.safe_dump(PROFILE))
    config = directory / "lockgate.yaml"
    config.write_text("profiles: [profiles]\n")
    state = open_shared_state(directory / "state")
    with running_cell(CellOptions(state=state, config_file=config, any_port=True, workers=1)) as cell:
        yield cell


Command = Callable[..., int]


@pytest.fixture
def sessions(cell: Cell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, as somebody runs it who is `nadia` here."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LOCKGATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("LOCKGATE_TOKEN", cell.token)
    monkeypatch.setenv("LOGNAME", "nadia")
    monkeypatch.delenv("LOCKGATE_CONFIG", raising=False)
    return lambda *words: run_line(["sessions", *words, "--server", cell.grpc_address])


@pytest.fixture
def run(cell: Cell, sessions: Command) -> Callable[..., pb.Execution]:
    """Run a program as `lockgate run` would."""
    assert callable(sessions)

    async def executed(code: str, session_id: str) -> pb.Execution:
        async with Client(cell.grpc_address, cell.token) as client:
            context = local_context("a test")
            return await client.execute(execute_request(code, profile="kept", context=context, session_id=session_id))

    return lambda code, session_id: asyncio.run(executed(code, session_id))


def listed(sessions: Command, capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    assert sessions("list", *words) == Exit.SUCCESS
    return capsys.readouterr().out.splitlines()


def test_sessions_are_listed_forked_and_closed(
    sessions: Command, run: Callable[..., pb.Execution], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = run("let x = 1; x", "notes"), run("x += 1", "notes")
    (told,) = listed(sessions, capsys)
    session = first.kept_session
    assert told.startswith(f"{session}  javascript  2 programs  rests  in memory (")
    assert told.endswith("Z  notes")
    assert listed(sessions, capsys, "--owner", "somebody else") == []
    assert json.loads(listed(sessions, capsys, "--json")[0])["last_execution_id"] == second.id

    assert sessions("fork", session, "whole") == Exit.SUCCESS
    assert sessions("fork", session, "early", "--after", first.id, "--json") == Exit.SUCCESS
    whole, early = capsys.readouterr().out.splitlines()
    assert whole.endswith(f"fork of {session}  whole")
    assert json.loads(early)["programs"] == 1
    assert [run("x", name).result_json for name in ("notes", "whole", "early")] == ["2", "2", "1"]

    forks = [whole.split()[0], json.loads(early)["id"]]
    assert sessions("close", session, *forks) == Exit.SUCCESS
    assert capsys.readouterr().out.splitlines() == [f"{each}  closed" for each in (session, *forks)]
    assert listed(sessions, capsys) == []
    assert run("typeof x", "notes").result_json == '"undefined"'


def test_an_empty_list_is_told_but_not_as_json(sessions: Command, capsys: pytest.CaptureFixture[str]) -> None:
    told = "lockgate: some\N{REPLACEMENT CHARACTER}body has no open session that keeps globals\n"
    for words, stderr in ((("list",), told), (("list", "--json"), "")):
        assert sessions(*words, "--owner", "some\x07body") == Exit.SUCCESS
        assert capsys.readouterr() == ("", stderr)


def test_programs_run_from_the_command_line_share_a_session(
    cell: Cell, sessions: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, code in {"first": "const seen = 'by the first'; await store.set('k', 1)", "second": "seen"}.items():
        tmp_path.joinpath(f"{name}.js").write_text(code)

    def run_file(name: str, *words: str) -> int:
        return run_line(["run", f"{name}.js", *words, "--profile", "kept", "--server", cell.grpc_address])

    assert run_file("first", "--session-id", "terminal") == Exit.SUCCESS
    assert capsys.readouterr().out == "null\n"
    assert run_file("second", "--session-id", "terminal") == Exit.SUCCESS
    assert capsys.readouterr().out == '"by the first"\n'
    assert [each.endswith("  terminal") for each in listed(sessions, capsys)].count(True) == 1
    for words in ((), ("--session-id", "another")):
        assert run_file("second", *words) == Exit.PROGRAM_ERROR
        assert "seen is not defined" in capsys.readouterr().err
    assert run_file("second", "--session-id", "") == Exit.USAGE
    assert "--session-id is empty" in capsys.readouterr().err


def test_what_is_refused_says_why(
    sessions: Command, run: Callable[..., pb.Execution], capsys: pytest.CaptureFixture[str]
) -> None:
    session = run("1", "refused").kept_session
    for words, reason in (
        (("close", "ses_none"), 'there is no open session "ses_none"'),
        (("close", session, "--owner", "somebody else"), f'there is no open session "{session}"'),
        (("fork", session, "refused"), '"refused" is open already; close it, or use another'),
        (("fork", session, "t", "--after", "exe_none"), '"exe_none" is not among the programs'),
    ):
        assert sessions(*words) == Exit.REFUSED
        told = capsys.readouterr()
        assert reason in told.err
        assert told.out == ""


def test_a_line_says_what_a_session_does_and_obeys_nothing() -> None:
    session = pb.KeptSession(
        id="ses_1",
        session_id="a\x1b[2J\nb",
        language=pb.LANGUAGE_PYTHON,
        programs=1,
        running_execution_id="exe_2",
        waiting=3,
    )
    session.used_at.FromSeconds(0)
    assert line(session) == (
        "ses_1  python  1 program  busy with exe_2, 3 wait  not in memory  used 1970-01-01T00:00:00Z  "
        "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}b"
    )


def test_a_line_says_that_a_session_is_lost_and_why() -> None:
    session = pb.KeptSession(id="ses_1", session_id="a", language=pb.LANGUAGE_PYTHON, lost="its record\nis gone")
    session.used_at.FromSeconds(0)
    assert line(session) == (
        "ses_1  python  0 programs  lost (its record\N{REPLACEMENT CHARACTER}is gone)  not in memory  "
        "used 1970-01-01T00:00:00Z  a"
    )
