"""Who shares a worker process: everybody, one owner's executions, or nobody."""

import asyncio
import contextlib

import psutil
import pytest

from runtime.client import Client, Context
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import CellOptions
from tests.cell import open_shared_state, running_cell
from tests.service.programs import request

WAITING = "console.log('up'); await new Promise((r) => setTimeout(r, 60000))"
CORDON = "name: {0}\nversion: 1\nlanguages: [javascript]\nenvironments: [dev]\nisolation: {0}\n"


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    directory = tmp_path_factory.mktemp("cordons")
    (directory / "profiles").mkdir()
    for isolation in ("shared", "tenant", "dedicated"):
        (directory / "profiles" / f"{isolation}.yaml").write_text(CORDON.format(isolation))
    config = directory / "lockgate.yaml"
    config.write_text("profiles: [profiles]\n")
    state = open_shared_state(directory / "state")
    with running_cell(CellOptions(state=state, config_file=config, any_port=True, workers=1)) as running:
        yield running


@pytest.fixture
async def client(cell):
    async with Client(cell.grpc_address, cell.token) as client:
        yield client


def workers(cell) -> set[int]:
    gateway = psutil.Process(cell.pids["gateway"])
    return {worker.pid for zygote in gateway.children() for worker in zygote.children()}


def wanted(isolation: str, owner: str, code: str = WAITING) -> pb.ExecuteRequest:
    context = Context(actor="a", owner=owner, environment="dev", reason="a test")
    return request(code, profile=isolation, context=context)


async def moved_with(client: Client, cell, requests: list[pb.ExecuteRequest]) -> list[int]:
    """For each worker killed in turn, how many of the waiting executions it took along that had not moved before."""
    streams = [client.stream(message) for message in requests]
    ids = [await running(stream) for stream in streams]
    taken = []
    before = 0
    for pid in workers(cell):
        with contextlib.suppress(psutil.NoSuchProcess):
            worker = psutil.Process(pid)
            worker.kill()
            worker.wait(5)
        await settled(client)
        found = [await client.execution(each) for each in ids]
        # What has lost its worker waits for another, or has begun in it.
        now = sum(each.attempts > 1 or each.status == pb.STATUS_QUEUED for each in found)
        taken.append(now - before)
        before = now
    for each in ids:
        await client.cancel(each, "enough")
    assert before == len(ids)
    return sorted(number for number in taken if number)


async def running(stream) -> str:
    """The id, once the program has written its first line."""
    async for event in stream:
        if event.HasField("accepted"):
            execution_id = event.accepted.execution_id
        if event.HasField("log"):
            return execution_id
    raise AssertionError("the program ended first")


async def settled(client: Client) -> None:
    """A later execution has gone through, so the gateway has heard of the death."""
    await client.execute(wanted("shared", "somebody", "1"))
    await client.execute(wanted("shared", "somebody", "1"))


async def test_shared_executions_share_a_worker(client, cell):
    assert await moved_with(client, cell, [wanted("shared", "a"), wanted("shared", "b")]) == [2]


async def test_an_owners_executions_share_a_worker_with_no_other_owner(client, cell):
    requests = [wanted("tenant", "a"), wanted("tenant", "a"), wanted("tenant", "b")]
    assert await moved_with(client, cell, requests) == [1, 2]


async def test_a_dedicated_execution_is_alone(client, cell):
    requests = [wanted("dedicated", "a"), wanted("dedicated", "a"), wanted("shared", "a")]
    assert await moved_with(client, cell, requests) == [1, 1, 1]


async def test_a_dedicated_worker_is_gone_after_its_execution(client, cell):
    before = workers(cell)
    execution = await client.execute(wanted("dedicated", "a", "1 + 1"))
    assert execution.status == pb.STATUS_SUCCEEDED
    async with asyncio.timeout(10):
        while not before - workers(cell):
            await asyncio.sleep(0.01)


async def test_more_dedicated_executions_than_stand_bys_all_run(client):
    replies = await asyncio.gather(*(client.execute(wanted("dedicated", "a", "1 + 1")) for _ in range(20)))
    assert {reply.status for reply in replies} == {pb.STATUS_SUCCEEDED}


async def test_a_program_whose_worker_dies_before_anything_is_seen_of_it_runs_again(client, cell):
    code = "const until = Date.now() + 0; let x = 0; for (let i = 0; i < 3e7; i++) x += i; 'done'"
    execution = asyncio.ensure_future(client.execute(wanted("dedicated", "a", code)))
    before = workers(cell)
    async with asyncio.timeout(10):
        while (spinning := next(iter(busy(before)), None)) is None:
            await asyncio.sleep(0.005)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(spinning).kill()
    reply = await execution
    assert (reply.status, reply.result_json) == (pb.STATUS_SUCCEEDED, '"done"')


def busy(pids: set[int]) -> list[int]:
    """Those that have computed for a while: starting takes a worker a few milliseconds."""
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).cpu_times().user > 0.05:
                found.append(pid)
    return found
