"""Ended executions run again from their record: same calls, same lines, same end, and nothing sent."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell
from tests.cell import open_shared_state, upstreams_settled
from tests.durable.conftest import durable_cell, write_config
from tests.durable.marks import Marks, marks
from tests.service.programs import request

RACES = {
    "javascript": """
        const out = [];
        const names = [...Array(8).keys()].map((n) => `n${Math.floor(Math.random() * 1e9)}-${n}`);
        await Promise.all(names.map(async (name, n) => {
            if (n % 3 === 0) await new Promise((r) => setTimeout(r, n));
            const got = await (n % 2 ? codemode.marks.look({name}) : codemode.marks.mark({name}));
            out.push([got.name, Date.now()]);
            console.log(name, out.length);
        }));
        const first = await Promise.race([codemode.marks.look({name: "a"}), codemode.marks.look({name: "b"})]);
        return [out, first.name, crypto.randomUUID()];
    """,
    "python": """
import asyncio, random, time, uuid
out = []
async def one(n):
    name = f"n{random.randrange(10**9)}-{n}"
    if n % 3 == 0:
        await asyncio.sleep(n / 1000)
    got = await (codemode.marks.look(name=name) if n % 2 else codemode.marks.mark(name=name))
    out.append([got["name"], time.time()])
    print(name, len(out))
await asyncio.gather(*(one(n) for n in range(8)))
[out, str(uuid.uuid4())]
    """,
}
FAILS = {
    "javascript": "await codemode.marks.mark({name: 'x'}); throw new TypeError('no ' + Math.random())",
    "python": "import random\nawait codemode.marks.mark(name='x')\nraise TypeError(f'no {random.random()}')",
}


@pytest.fixture(scope="module")
def upstream() -> Iterator[Marks]:
    with marks() as kept:
        yield kept


@pytest.fixture(scope="module")
def cell(tmp_path_factory: pytest.TempPathFactory, upstream: Marks) -> Iterator[Cell]:
    directory: Path = tmp_path_factory.mktemp("replay")
    with durable_cell(open_shared_state(directory / "state"), write_config(directory, upstream)) as running:
        yield running


@pytest.fixture
async def client(cell: Cell) -> AsyncIterator[Client]:
    await upstreams_settled(cell.grpc_address, cell.token)
    async with Client(cell.grpc_address, cell.token) as client:
        yield client


async def ran(client: Client, code: str, language: str) -> pb.Execution:
    return await client.execute(request(code, language, profile="durable"))


@pytest.mark.parametrize("language", RACES)
async def test_a_replay_is_the_execution_once_more_and_sends_nothing(client: Client, upstream: Marks, language: str):
    for _ in range(5):
        execution = await ran(client, RACES[language], language)
        assert execution.status == pb.STATUS_SUCCEEDED, execution.error
        before = len(upstream.reads), len(upstream.writes)
        reply = await client.replay(pb.ReplayRequest(execution_id=execution.id))
        assert reply.verified, reply.differences
        assert not reply.stopped
        assert reply.calls == len(execution.host_calls)
        assert [line.text for line in reply.logs] == [line.text for line in execution.logs]
        assert (len(upstream.reads), len(upstream.writes)) == before


@pytest.mark.parametrize("language", FAILS)
async def test_a_program_that_failed_fails_alike(client: Client, language: str):
    execution = await ran(client, FAILS[language], language)
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    reply = await client.replay(pb.ReplayRequest(execution_id=execution.id))
    assert reply.verified, reply.differences


@pytest.mark.parametrize("language", RACES)
async def test_a_replay_stops_before_the_call_that_is_named(client: Client, language: str):
    execution = await ran(client, RACES[language], language)
    reply = await client.replay(pb.ReplayRequest(execution_id=execution.id, until=3))
    assert reply.verified
    assert reply.stopped
    assert reply.calls == 2


async def test_another_program_is_shown_where_it_leaves_the_record(client: Client):
    code = "const a = await codemode.marks.look({name: 'a'}); await codemode.marks.mark({name: 'b'}); return a"
    execution = await ran(client, code, "javascript")
    other = code.replace("'b'", "'c'")
    reply = await client.replay(pb.ReplayRequest(execution_id=execution.id, code=other))
    assert not reply.verified
    (difference,) = reply.differences
    assert (difference.what, difference.at) == ("call", 2)
    assert '"b"' in difference.expected
    assert '"c"' in difference.found
    same = await client.replay(pb.ReplayRequest(execution_id=execution.id, code=code.replace("return a", "return 1")))
    assert [each.what for each in same.differences] == ["result"]


async def test_an_ending_by_a_limit_is_compared_up_to_its_last_event(client: Client):
    code = "await codemode.marks.look({name: 'a'}); console.log('spins'); for (;;);"
    execution = await client.execute(request(code, profile="durable", limits={"cpu_ms": 100}))
    assert execution.status == pb.STATUS_LIMIT_CPU
    reply = await client.replay(pb.ReplayRequest(execution_id=execution.id))
    assert reply.calls == 1
    assert reply.verified, reply.differences


async def test_of_an_execution_without_host_calls_there_is_no_record(client: Client):
    execution = await ran(client, "1 + 1", "javascript")
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.replay(pb.ReplayRequest(execution_id=execution.id))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


async def test_nobody_elses_execution_is_replayed(client: Client):
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await client.replay(pb.ReplayRequest(execution_id="exe_00000000000000000000000000000000"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND


LARGE_ANSWERS = {
    "javascript": """
        let n = 0;
        for (let i = 0; i < 12; i++) n += (await codemode.marks.look({name: "large"})).data.length;
        return n;
    """,
    "python": """
n = 0
for i in range(12):
    n += len((await codemode.marks.look(name="large"))["data"])
n
    """,
}


@pytest.mark.parametrize("language", LARGE_ANSWERS)
async def test_answers_too_large_to_go_with_the_record_follow_it(client: Client, language: str):
    execution = await ran(client, LARGE_ANSWERS[language], language)
    assert execution.result_json == str(12 * (3 << 20)), execution.error
    reply = await client.replay(pb.ReplayRequest(execution_id=execution.id))
    assert reply.verified, reply.differences
    assert reply.calls == 12
