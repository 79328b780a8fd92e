"""Sessions whose programs keep their globals: in order, through deaths of workers and gateways, forked, bounded."""

import asyncio
import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from runtime.client import Client, Context, Inverse, Offer
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell
from sandboxes.state import StateDirectory
from tests.cell import open_shared_state, upstreams_settled
from tests.durable.conftest import PROFILE, durable_cell, kill_gateway, kill_workers, write_config
from tests.durable.marks import Marks, marks
from tests.durable.test_recovery import ended
from tests.service.programs import CONTEXT, request

LANGUAGES = ["javascript", "python"]
RULES = {"languages": ["javascript", "typescript", "python"]}


PROFILES: dict[str, dict[str, Any]] = {
    "durable": {"sessions": RULES},
    "few": {"sessions": {**RULES, "max_programs": 2, "per_owner": 1}},
    "brief": {"sessions": {**RULES, "max_idle_s": 1}},
    "lone": {"sessions": {**RULES, "max_idle_s": 1, "per_owner": 1}},
    "patient": {
        "sessions": {**RULES, "max_idle_s": 1},
        "approvals": {"rules": [{"name": "all", "action": "ask", "tools": ["marks.mark"]}]},
    },
    "short": {"sessions": {**RULES, "max_age_s": 1}},
    "forgetful": {"sessions": RULES, "retention": {"answers": "digest"}},
    "alone": {"sessions": {**RULES, "max_waiting": 0}},
    "python-only": {"sessions": {"languages": ["python"]}},
    "shared": {"sessions": RULES, "isolation": "shared"},
    "dedicated": {"sessions": RULES, "isolation": "dedicated"},
    "asks": {
        "sessions": RULES,
        "tools": {"allow": ["marks.*", "caller.*"]},
        "approvals": {"rules": [{"name": "asked", "action": "ask", "arguments": {"/name": {"values": ["asked"]}}}]},
    },
}


def write_profiles(directory: Path, upstream: Marks) -> Path:
    """lockgate.yaml, and all profiles of these tests."""
    config = write_config(directory, upstream)
    for name, more in PROFILES.items():
        document = PROFILE | {"name": name, "languages": ["javascript", "typescript", "python"]} | more
        directory.joinpath("profiles", f"{name}.yaml").write_text(yaml.safe_dump(document))
    return config


@pytest.fixture
def config(tmp_path: Path, upstream: Marks) -> Path:
    """For a cell that is killed."""
    return write_profiles(tmp_path, upstream)


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cell, Marks]]:
    """For all others."""
    directory = tmp_path_factory.mktemp("sessions")
    state = open_shared_state(directory / "state")
    with marks() as kept, durable_cell(state, write_profiles(directory, kept)) as served:
        asyncio.run(upstreams_settled(served.grpc_address, served.token))
        yield served, kept


@pytest.fixture
async def client(cell: tuple[Cell, Marks]) -> AsyncIterator[Client]:
    async with Client(cell[0].grpc_address, cell[0].token) as connected:
        yield connected


@pytest.fixture
def owner(request: pytest.FixtureRequest) -> str:
    """An owner that no other test has."""
    return request.node.name[:200]


@contextlib.asynccontextmanager
async def served(state: StateDirectory, config: Path) -> AsyncIterator[tuple[Any, Client]]:
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            yield cell, client


def in_session(
    code: str, language: Any = "javascript", owner: str = CONTEXT.owner, **options: Any
) -> pb.ExecuteRequest:
    options = {"profile": "durable", "session_id": "s", **options}
    context = Context(actor="tester", owner=owner, environment="dev", reason="a test", expires_in_s=120)
    return request(code, language, context=context, **options)


async def value(client: Client, code: str, language: Any = "javascript", **options: Any) -> Any:
    """The program's value. Fails for any other end."""
    execution = await client.execute(in_session(code, language, **options))
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    return json.loads(execution.result_json)


async def refusal(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details() or ""


SET = {
    "javascript": "let n = (await codemode.marks.mark({name: 'one'})).count; const drawn = [Math.random()]; n",
    "python": "import random\nn = (await codemode.marks.mark(name='one'))['count']\ndrawn = [random.random()]\nn",
}
MORE = {
    "javascript": "n += (await codemode.marks.look({name: 'two'})).count; drawn.push(Math.random()); return drawn",
    "python": "n += (await codemode.marks.look(name='two'))['count']\ndrawn.append(random.random())\nreturn drawn",
}
GET = {"javascript": "[n, drawn]", "python": "[n, drawn]"}


async def surely(client: Client, code: str, language: Any) -> Any:
    """The program's value, asked for until there is a gateway."""
    for _ in range(600):
        try:
            return await value(client, code, language)
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            await asyncio.sleep(0.05)
    raise AssertionError("no gateway came")


async def test_globals_survive(state: StateDirectory, config: Path, upstream: Marks) -> None:
    async with served(state, config) as (cell, client):
        drawn: dict[str, list[float]] = {}
        for language in LANGUAGES:
            upstream.writes.clear()
            upstream.reads.clear()
            assert await value(client, SET[language], language) == 1
            drawn[language] = await value(client, MORE[language], language)
        for death in (None, kill_workers, kill_gateway):
            if death is not None:
                death(cell)
            for language in LANGUAGES:
                assert await surely(client, GET[language], language) == [2, drawn[language]]
        assert (upstream.writes, upstream.reads) == (["one"], ["two"])


async def test_the_reply_says_which_program_it_was(client: Client, owner: str) -> None:
    executions = [await client.execute(in_session(code, owner=owner)) for code in ("x = 1", "throw x", "x", "y")]
    assert [each.session_position for each in executions] == [1, 2, 3, 4]
    (session,) = await client.kept_sessions(owner)
    assert {each.kept_session for each in executions} == {session.id}
    assert (session.session_id, session.programs, session.in_memory) == ("s", 4, True)
    assert session.last_execution_id == executions[-1].id
    alone = await client.execute(request("typeof x", profile="durable"))
    assert (alone.result_json, alone.kept_session, alone.session_position) == ('"undefined"', "", 0)


async def test_languages_owners_and_names_have_sessions_of_their_own(client: Client, owner: str) -> None:
    await value(client, "x = 1", owner=owner)
    assert await value(client, "'x' in globals()", "python", owner=owner) is False
    assert await value(client, "typeof x", session_id="t", owner=owner) == "undefined"
    assert await value(client, "typeof x", owner=f"not {owner}") == "undefined"
    assert await value(client, "const y: number = x; return y + 1", "typescript", owner=owner) == 2
    assert len(await client.kept_sessions(owner)) == 3
    assert len(await client.kept_sessions(f"not {owner}")) == 1


async def test_programs_of_a_session_run_one_after_the_other(client: Client, owner: str) -> None:
    step = "var seen = globalThis.seen ?? []; const at = seen.length; await new Promise(r => setTimeout(r, 5));"
    programs = [value(client, f"{step} seen.push(at); return seen", owner=owner) for _ in range(8)]
    results = await asyncio.gather(*programs)
    assert sorted(map(len, results)) == list(range(1, 9))
    assert max(results, key=len) == list(range(8))


LOOP = {"javascript": "x = 2; for (;;);", "python": "x = 2\nwhile True: pass"}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_program_ended_by_a_limit_leaves_no_globals(client: Client, owner: str, language: Any) -> None:
    await value(client, "x = 1", language, owner=owner)
    looped = await client.execute(in_session(LOOP[language], language, owner, limits={"cpu_ms": 30}))
    assert looped.status == pb.STATUS_LIMIT_CPU
    assert await value(client, "x", language, owner=owner) == 1
    assert (await client.kept_sessions(owner))[0].programs == 2


async def test_a_killed_worker_in_the_middle_of_a_program(state: StateDirectory, config: Path, upstream: Marks) -> None:
    async with served(state, config) as (cell, client):
        await value(client, SET["javascript"])
        running = asyncio.create_task(value(client, "n += (await codemode.marks.mark({name: 'hold'})).count; return n"))
        await asyncio.to_thread(upstream.wait_for, "hold")
        kill_workers(cell)
        upstream.release()
        assert await running == 2
        assert await value(client, "n") == 2
        assert upstream.writes == ["one", "hold"]


async def test_a_killed_gateway_in_the_middle_of_a_program(
    state: StateDirectory, config: Path, upstream: Marks
) -> None:
    async with served(state, config) as (cell, client):
        await value(client, SET["javascript"])
        stream = client.stream(in_session("n += (await codemode.marks.look({name: 'hold'})).count; return n"))
        accepted = (await anext(stream)).accepted.execution_id
        await asyncio.to_thread(upstream.wait_for, "hold")
        kill_gateway(cell)
        upstream.release()
        execution = await ended(cell.grpc_address, cell.token, accepted)
        # A read that nobody answered is asked again, and the marks count that.
        assert (execution.status, execution.result_json) == (pb.STATUS_SUCCEEDED, "3")
        assert upstream.writes == ["one"]
    async with served(state, config) as (_, client):
        assert await value(client, "n") == 3
        assert upstream.writes == ["one"]


async def test_a_fork_goes_on_by_itself_and_repeats_no_call(
    state: StateDirectory, config: Path, upstream: Marks
) -> None:
    async with served(state, config) as (_, client):
        first = await client.execute(in_session(SET["javascript"]))
        await value(client, "n += 10")
        (source,) = await client.kept_sessions(CONTEXT.owner)
        whole = await client.fork_session(CONTEXT.owner, source.id, "whole")
        early = await client.fork_session(CONTEXT.owner, source.id, "early", first.id)
        assert (whole.programs, early.programs) == (2, 1)
        assert (whole.parent_id, early.last_execution_id) == (source.id, first.id)
        assert await value(client, "n += 100", session_id="whole") == 111
        assert await value(client, "n += 100", session_id="early") == 101
        assert await value(client, "n") == 11
        assert upstream.writes == ["one"]
        await client.close_session(CONTEXT.owner, source.id)
    async with served(state, config) as (_, client):
        twice = next(s for s in await client.kept_sessions(CONTEXT.owner) if s.session_id == "early")
        again = await client.fork_session(CONTEXT.owner, twice.id, "again")
        assert await value(client, "n", session_id="again") == 101
        assert again.programs == 2
        assert upstream.writes == ["one"]


async def test_what_cannot_be_forked(client: Client, owner: str) -> None:
    await value(client, "x = 1", owner=owner)
    (source,) = await client.kept_sessions(owner)
    for call, code in (
        (client.fork_session(f"not {owner}", source.id, "t"), grpc.StatusCode.NOT_FOUND),
        (client.fork_session(owner, "ses_none", "t"), grpc.StatusCode.NOT_FOUND),
        (client.fork_session(owner, source.id, "s"), grpc.StatusCode.ALREADY_EXISTS),
        (client.fork_session(owner, source.id, "t", "exe_none"), grpc.StatusCode.NOT_FOUND),
        (client.fork_session(owner, source.id, ""), grpc.StatusCode.INVALID_ARGUMENT),
        (client.close_session(f"not {owner}", source.id), grpc.StatusCode.NOT_FOUND),
        (client.kept_sessions(""), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        assert (await refusal(call))[0] is code


async def test_a_closed_session_begins_anew(client: Client, cell: tuple[Cell, Marks], owner: str) -> None:
    await value(client, "x = 1", owner=owner)
    running = asyncio.create_task(
        client.execute(in_session("await new Promise(r => setTimeout(r, 9000))", owner=owner))
    )
    waiting = asyncio.create_task(client.execute(in_session("x", owner=owner)))
    for _ in range(500):
        (session,) = await client.kept_sessions(owner)
        if session.waiting:
            break
        await asyncio.sleep(0.01)
    assert session.running_execution_id
    await client.close_session(owner, session.id)
    assert [each.status for each in await asyncio.gather(running, waiting)] == [pb.STATUS_CANCELLED] * 2
    assert await client.kept_sessions(owner) == []
    assert await value(client, "typeof x", owner=owner) == "undefined"


def stored_values(state: StateDirectory) -> int:
    with contextlib.closing(sqlite3.connect(state.store_file)) as connection:
        return connection.execute("SELECT count(*) FROM session_values").fetchone()[0]


async def test_a_closed_session_leaves_nothing_in_its_store(state: StateDirectory, config: Path) -> None:
    async with served(state, config) as (_, client):
        first = await client.execute(in_session("await store.set('k', 1); await store.set('l', 2)"))
        await value(client, "await store.set('k', 1)", session_id="other")
        await client.close_session(CONTEXT.owner, first.kept_session)
        assert stored_values(state) == 1
        assert await value(client, "await store.keys()") == []
        assert await value(client, "await store.keys()", session_id="other") == ["k"]
    async with served(state, config) as (_, client):
        assert await value(client, "await store.keys()") == []


async def test_what_runs_in_a_closed_session_sets_nothing_afterwards(client: Client, owner: str) -> None:
    step = "await new Promise(r => setTimeout(r, 20)); await store.set('k', 2);"
    code = f"await store.set('began', 1); for (;;) {{ {step} }}"
    async with asyncio.timeout(30):
        running = asyncio.create_task(client.execute(in_session(code, owner=owner)))
        while not await value(client, "await store.keys()", owner=owner, profile="python-only"):
            await asyncio.sleep(0)
        waiting = asyncio.create_task(client.execute(in_session("await store.set('k', 1)", owner=owner)))
        while not (await client.kept_sessions(owner))[0].waiting:
            await asyncio.sleep(0)
    (session,) = await client.kept_sessions(owner)
    await client.close_session(owner, session.id)
    assert await value(client, "await store.keys()", owner=owner) == []
    assert [each.status for each in await asyncio.gather(running, waiting)] == [pb.STATUS_CANCELLED] * 2


async def test_a_store_stays_while_another_open_session_has_it(client: Client, owner: str) -> None:
    javascript = await client.execute(in_session("await store.set('k', 1)", owner=owner))
    python = await client.execute(in_session("await store.set('l', 2)", "python", owner=owner))
    await client.close_session(owner, javascript.kept_session)
    assert await value(client, "await store.keys()", "python", owner=owner) == ["k", "l"]
    await client.close_session(owner, python.kept_session)
    assert await value(client, "await store.keys()", "python", owner=owner) == []


async def test_a_store_outlives_a_session_that_was_idle(client: Client, owner: str) -> None:
    await value(client, "await store.set('k', 1)", owner=owner, profile="brief")
    for _ in range(1_000):
        if not await client.kept_sessions(owner):
            break
        await asyncio.sleep(0.02)
    assert await value(client, "await store.keys()", owner=owner, profile="brief") == ["k"]


async def test_sessions_are_bounded(client: Client, owner: str) -> None:
    for code in ("1", "2"):
        await value(client, code, owner=owner, profile="few")
    for name, message in (("s", "sessions.max_programs 2"), ("t", "sessions.per_owner")):
        code, details = await refusal(client.execute(in_session("3", owner=owner, profile="few", session_id=name)))
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert message in details


async def test_room_for_a_session_is_an_owners_own_and_comes_back(client: Client, owner: str) -> None:
    await value(client, "x = 1", owner=owner, profile="few")
    (session,) = await client.kept_sessions(owner)
    more = (
        client.execute(in_session("1", "python", owner, profile="few")),
        client.execute(in_session("1", owner=owner, profile="few", session_id="t")),
        client.fork_session(owner, session.id, "t"),
    )
    for call in more:
        code, details = await refusal(call)
        assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert details == "this owner has 1 open sessions, which is sessions.per_owner; close one"
    await value(client, "x = 1", owner=f"not {owner}", profile="few")
    await client.close_session(owner, session.id)
    assert await value(client, "typeof x", owner=owner, profile="few", session_id="t") == "undefined"


async def test_a_session_that_nobody_uses_is_closed(client: Client, owner: str) -> None:
    await value(client, "x = 1", owner=owner, profile="brief")
    await value(client, "x = 1", owner=owner, session_id="stays")
    for _ in range(1_000):
        left = await client.kept_sessions(owner)
        if len(left) == 1:
            break
        await asyncio.sleep(0.02)
    assert [each.session_id for each in left] == ["stays"]
    assert await value(client, "typeof x", owner=owner, profile="brief") == "undefined"


async def test_a_session_left_before_a_restart_takes_no_room_for_ever(state: StateDirectory, config: Path) -> None:
    async with served(state, config) as (_, client):
        first = await client.execute(in_session("x = 1", profile="lone"))
    async with served(state, config) as (_, client):
        for _ in range(150):
            try:
                assert await value(client, "typeof x", profile="lone", session_id="t") == "undefined"
                break
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                await asyncio.sleep(0.02)
        (left,) = await client.kept_sessions(CONTEXT.owner)
        assert (left.session_id, left.id != first.kept_session) == ("t", True)


def used_long_ago(state: StateDirectory) -> None:
    """Make the store say that nobody has used a session for an hour."""
    with contextlib.closing(sqlite3.connect(state.store_file)) as connection, connection:
        connection.execute("UPDATE sessions SET used_ns = used_ns - 3600 * 1000000000")


async def test_a_paused_program_keeps_its_session_and_its_turn_over_a_restart(
    state: StateDirectory, config: Path
) -> None:
    async with served(state, config) as (_, client):
        first = await client.execute(in_session("let x = 1", profile="patient"))
        paused = await client.execute(
            in_session("x += (await codemode.marks.mark({name: 'a'})).count", profile="patient")
        )
        assert (paused.status, paused.kept_session) == (pb.STATUS_PAUSED, first.kept_session)
    used_long_ago(state)
    async with served(state, config) as (cell, client):
        # For this one the gateway looks for sessions that are over, and finds none.
        await refusal(client.execute(in_session("1", profile="few", session_id="t")))
        (kept,) = [each for each in await client.kept_sessions(CONTEXT.owner) if each.id == first.kept_session]
        assert kept.running_execution_id == paused.id
        later = asyncio.create_task(value(client, "x += 10", profile="patient"))
        for _ in range(500):
            (kept,) = await client.kept_sessions(CONTEXT.owner)
            if kept.waiting or later.done():
                break
            await asyncio.sleep(0.01)
        assert kept.waiting == 1
        (approval,) = (await client.approvals.page()).approvals
        await client.approvals.decide([approval], approve=True, approver="alice")
        execution = await ended(cell.grpc_address, cell.token, paused.id)
        assert (execution.status, execution.result_json) == (pb.STATUS_SUCCEEDED, "2"), execution.error
        assert await later == 12


async def test_a_session_closed_after_a_restart_cancels_its_paused_program(state: StateDirectory, config: Path) -> None:
    async with served(state, config) as (_, client):
        paused = await client.execute(in_session("await codemode.marks.mark({name: 'a'})", profile="patient"))
        assert paused.status == pb.STATUS_PAUSED
    async with served(state, config) as (cell, client):
        await client.close_session(CONTEXT.owner, paused.kept_session)
        execution = await ended(cell.grpc_address, cell.token, paused.id)
        assert (execution.status, execution.error.message) == (
            pb.STATUS_CANCELLED,
            "its session was closed",
        )
        assert await client.kept_sessions(CONTEXT.owner) == []


async def test_a_session_in_use_is_closed_at_its_age(client: Client, owner: str) -> None:
    first = await client.execute(in_session("x = 1", owner=owner, profile="short"))
    for _ in range(150):
        later = await client.execute(in_session("typeof x", owner=owner, profile="short"))
        if later.kept_session != first.kept_session:
            break
        assert later.result_json == '"number"'
        await asyncio.sleep(0.02)
    assert (later.result_json, later.session_position) == ('"undefined"', 1)
    assert [each.id for each in await client.kept_sessions(owner)] == [later.kept_session]


def lose(state: StateDirectory, *statements: str) -> None:
    """Take something out of the store, which no part of Lockgate does."""
    with contextlib.closing(sqlite3.connect(state.store_file)) as connection, connection:
        for statement in statements:
            connection.execute(statement)


LOSSES = {
    "the parent's programs": (
        ["DELETE FROM executions WHERE id = :id"],
        "the session it was forked from has no record of",
    ),
    "the parent": (
        ["DELETE FROM sessions WHERE name = 'javascript:s'"],
        "the session it was forked from is gone",
    ),
    "the profile": (
        ["UPDATE profiles SET document = '{}' WHERE document LIKE '%patient%'"],
        "the profile it began under cannot be read",
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
async def test_a_lost_session_is_listed_and_refused_until_it_is_closed(
    state: StateDirectory, config: Path, loss: str
) -> None:
    async with served(state, config) as (_, client):
        first = await client.execute(in_session("let x = 1", profile="patient"))
        await client.fork_session(CONTEXT.owner, first.kept_session, "forked")
        await value(client, "let y = 2", session_id="stays")
    statements, reason = LOSSES[loss]
    lose(state, *(each.replace(":id", f"'{first.id}'") for each in statements))
    async with served(state, config) as (_, client):
        listed = {each.session_id: each for each in await client.kept_sessions(CONTEXT.owner)}
        assert (listed["stays"].lost, listed["stays"].programs) == ("", 1)
        lost = listed["forked"]
        assert reason in lost.lost
        for call in (
            client.execute(in_session("x", session_id="forked")),
            client.fork_session(CONTEXT.owner, lost.id, "again"),
        ):
            code, details = await refusal(call)
            assert (code, reason in details) == (grpc.StatusCode.DATA_LOSS, True), details
            assert "close it" in details
        await value(client, "store.set('k', 1)", session_id="forked", profile="python-only")
        await client.close_session(CONTEXT.owner, lost.id)
        assert await value(client, "[typeof x, await store.get('k')]", session_id="forked") == ["undefined", 1]
        assert await value(client, "y", session_id="stays") == 2


async def test_a_lost_session_that_nobody_uses_makes_room(state: StateDirectory, config: Path) -> None:
    async with served(state, config) as (_, client):
        await value(client, "x = 1", profile="lone")
    lose(state, "UPDATE profiles SET document = '{}'")
    used_long_ago(state)
    async with served(state, config) as (_, client):
        assert await value(client, "typeof x", profile="lone") == "undefined"
        (left,) = await client.kept_sessions(CONTEXT.owner)
        assert (left.programs, left.lost) == (1, "")


async def test_a_program_that_goes_on_in_a_lost_session_ends_and_says_so(state: StateDirectory, config: Path) -> None:
    async with served(state, config) as (_, client):
        await value(client, "let x = 1")
        paused = await client.execute(in_session("await codemode.marks.mark({name: 'a'})", profile="patient"))
        assert paused.status == pb.STATUS_PAUSED
    lose(state, "UPDATE profiles SET document = '{}' WHERE document LIKE '%durable%'")
    async with served(state, config) as (cell, client):
        (approval,) = (await client.approvals.page()).approvals
        await client.approvals.decide([approval], approve=True, approver="alice")
        execution = await ended(cell.grpc_address, cell.token, paused.id)
        assert (execution.status, execution.error.name) == (pb.STATUS_LOST, "SessionLost")
        assert "the profile it began under cannot be read" in execution.error.message
        assert await value(client, "typeof x") == "undefined"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_session_that_cannot_be_made_again_says_why(client: Client, owner: str, language: Any) -> None:
    options = {"owner": owner, "profile": "forgetful"}
    first = await client.execute(in_session(SET[language], language, **options))
    looped = await client.execute(in_session(LOOP[language], language, limits={"cpu_ms": 30}, **options))
    assert (first.status, looped.status) == (pb.STATUS_SUCCEEDED, pb.STATUS_LIMIT_CPU)
    lost = await client.execute(in_session("n", language, **options))
    assert (lost.status, lost.error.name) == (pb.STATUS_LOST, "SessionLost")
    assert lost.error.message == (
        "the globals of its session are gone: its program 1 cannot run again: the answers of its calls were not kept: "
        "retention.answers of its profile is digest; the next program of this session_id begins anew"
    )
    assert await client.kept_sessions(owner) == []
    anew = await client.execute(in_session("1", language, **options))
    assert (anew.status, anew.session_position) == (pb.STATUS_SUCCEEDED, 1)
    assert anew.kept_session != first.kept_session


async def test_programs_that_wait_are_bounded(client: Client, owner: str) -> None:
    stream = client.stream(in_session("await new Promise(r => setTimeout(r, 9000))", owner=owner, profile="alone"))
    await anext(stream)
    code, details = await refusal(client.execute(in_session("1", owner=owner, profile="alone")))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "sessions.max_waiting" in details
    await stream.aclose()  # type: ignore[attr-defined]
    (session,) = await client.kept_sessions(owner)
    await client.close_session(owner, session.id)


async def test_without_the_profiles_word_each_program_begins_anew(client: Client, owner: str) -> None:
    await value(client, "x = 1; await store.set('k', 2)", owner=owner, profile="python-only")
    again = await value(client, "[typeof x, await store.get('k')]", owner=owner, profile="python-only")
    assert again == ["undefined", 2]
    await value(client, "x = 1", "python", owner=owner, profile="python-only")
    assert await value(client, "x", "python", owner=owner, profile="python-only") == 1


@pytest.mark.parametrize("isolation", ["shared", "dedicated"])
async def test_in_workers_of_every_isolation(client: Client, owner: str, isolation: str) -> None:
    for language in LANGUAGES:
        await value(client, "x = 1", language, owner=owner, profile=isolation)
        assert await value(client, "x", language, owner=owner, profile=isolation) == 1
    for session in await client.kept_sessions(owner):
        assert session.in_memory
        await client.close_session(owner, session.id)


ASK = {
    "javascript": "kept.push((await codemode.marks.mark({name: 'asked'})).count); let after = kept.length; after",
    "python": "kept.append((await codemode.marks.mark(name='asked'))['count'])\nafter = len(kept)\nafter",
}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_globals_are_there_after_an_approval(
    cell: tuple[Cell, Marks], client: Client, owner: str, language: str
) -> None:
    options = {"profile": "asks", "owner": owner}
    first = {"javascript": "const kept = ['before']; kept", "python": "kept = ['before']\nkept"}[language]
    assert await value(client, first, language, **options) == ["before"]
    paused = await client.execute(in_session(ASK[language], language, **options))
    assert paused.status == pb.STATUS_PAUSED, paused
    approval = await client.approvals.get(paused.pending_approvals[0].approval_id)
    await client.approvals.decide([approval], approve=True, approver="alice")
    done = await ended(cell[0].grpc_address, cell[0].token, paused.id)
    assert (done.status, done.result_json) == (pb.STATUS_SUCCEEDED, "2"), done.error
    kept, after = await value(client, "[kept, after]", language, **options)
    assert (kept[0], len(kept), after) == ("before", 2, 2)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_rollback_leaves_the_globals_of_its_session_alone(client: Client, owner: str, language: str) -> None:
    offer = Offer()

    @offer.function(inverse=Inverse("undo", {"number": "/arguments/number"}))
    async def do(number: int) -> None:
        assert number

    @offer.function
    async def undo(number: int) -> None:
        assert number

    options = {"profile": "asks", "owner": owner}
    fail = {
        "javascript": "await codemode.caller.do({number: 1}); throw new Error('no')",
        "python": "await codemode.caller.do(number=1)\nraise ValueError('no')",
    }[language]
    look = {"javascript": "typeof outcomes", "python": "'outcomes' in globals()"}[language]
    async with client.session(offer) as session:
        for _ in range(2):
            failing = in_session(fail, language, **options)
            failing.on_failure = pb.ON_FAILURE_ROLLBACK
            done = await session.run(failing)
            assert [step.outcome for step in done.rollback] == ["undone"]
    assert await value(client, look, language, **options) == {"javascript": "undefined", "python": False}[language]
