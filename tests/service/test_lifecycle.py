"""Executions from outside: cancelled, detached, attached again, listed, lost."""

import asyncio
import os
import signal

import grpc
import psutil
import pytest

from runtime.client import Client, Context
from runtime.rpc import runtime_pb2 as pb
from runtime.rpc import runtime_pb2_grpc
from tests.cell import TestCell
from tests.service.programs import request, run

WAITING = "console.log('waiting'); await new Promise((r) => setTimeout(r, 60000))"


def metadata(cell: TestCell):
    return (("authorization", f"Bearer {cell.token}"),)


@pytest.fixture
async def runtime(cell: TestCell):
    async with grpc.aio.insecure_channel(cell.address) as channel:
        yield runtime_pb2_grpc.RuntimeStub(channel)


async def get(runtime, cell: TestCell, execution_id: str) -> pb.Execution:
    wanted = pb.GetExecutionRequest(execution_id=execution_id)
    return (await runtime.GetExecution(wanted, metadata=metadata(cell))).execution


async def ended(runtime, cell: TestCell, execution_id: str) -> pb.Execution:
    async with asyncio.timeout(5):
        while not (execution := await get(runtime, cell, execution_id)).HasField("ended_at"):
            await asyncio.sleep(0.01)
    return execution


async def started(stream) -> str:
    """The id, once the program has written its first line."""
    execution_id = ""
    async for event in stream:
        if event.HasField("accepted"):
            execution_id = event.accepted.execution_id
        if event.HasField("log"):
            return execution_id
    raise AssertionError("the program ended first")


async def test_cancel_ends_a_waiting_program(client: Client, runtime, cell):
    stream = client.stream(request(WAITING))
    execution_id = await started(stream)
    reply = await runtime.Cancel(pb.CancelRequest(execution_id=execution_id, reason="enough"), metadata=metadata(cell))
    assert reply.execution.status == pb.STATUS_CANCELLED
    assert reply.execution.error.message == "cancelled: enough"
    assert (await anext(stream)).finished.status == pb.STATUS_CANCELLED


async def test_cancel_ends_a_spinning_program(client: Client, runtime, cell):
    stream = client.stream(request("console.log('spinning'); await 0; for (;;);", limits={"cpu_ms": 400}))
    execution_id = await started(stream)
    reply = await runtime.Cancel(pb.CancelRequest(execution_id=execution_id), metadata=metadata(cell))
    assert reply.execution.status in (pb.STATUS_CANCELLED, pb.STATUS_LIMIT_CPU)


async def test_cancelling_what_has_ended_changes_nothing(client: Client, runtime, cell):
    execution = await run(client, "1")
    reply = await runtime.Cancel(pb.CancelRequest(execution_id=execution.id), metadata=metadata(cell))
    assert reply.execution.status == pb.STATUS_SUCCEEDED


async def test_a_client_that_goes_away_cancels_its_execution(client: Client, runtime, cell):
    stream = client.stream(request(WAITING))
    execution_id = await started(stream)
    await stream.aclose()
    execution = await ended(runtime, cell, execution_id)
    assert execution.status == pb.STATUS_CANCELLED
    assert "client went away" in execution.error.message


async def test_a_clients_deadline_reaches_the_guest(runtime, cell):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runtime.Execute(request(WAITING), metadata=metadata(cell), timeout=0.2)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    listed = await runtime.ListExecutions(pb.ListExecutionsRequest(page_size=1), metadata=metadata(cell))
    execution = await ended(runtime, cell, listed.executions[0].id)
    assert execution.status == pb.STATUS_CANCELLED


async def test_with_an_idempotency_key_a_client_detaches_and_attaches_again(client: Client, runtime, cell):
    code = "console.log('once'); await new Promise((r) => setTimeout(r, 300)); 'done'"
    message = request(code, idempotency_key="detach-1")
    stream = client.stream(message)
    execution_id = await started(stream)
    await stream.aclose()
    events = [event async for event in client.stream(message)]
    assert events[0].accepted == pb.Accepted(execution_id=execution_id, attached=True)
    assert [event.log.text for event in events if event.HasField("log")] == ["once"]
    assert events[-1].finished.result_json == '"done"'
    assert (await client.execute(message)).id == execution_id


async def test_an_idempotency_key_for_another_program_is_refused(client: Client):
    await client.execute(request("1", idempotency_key="reuse-1"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.execute(request("2", idempotency_key="reuse-1"))
    assert caught.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_an_execution_ends_when_its_context_expires(client: Client):
    context = Context(actor="tester", owner="tests", environment="dev", reason="a test", expires_in_s=0.3)
    execution = await run(client, WAITING, context=context)
    assert execution.status == pb.STATUS_CANCELLED
    assert "expires_at has passed" in execution.error.message


async def test_executions_are_listed_newest_first_page_by_page(client: Client, runtime, cell):
    context = Context(actor="lister", owner="tests", environment="dev", reason="a test")
    ids = [(await run(client, "1", context=context)).id for _ in range(5)]
    found, token = [], ""
    while True:
        wanted = pb.ListExecutionsRequest(actor="lister", page_size=2, page_token=token)
        page = await runtime.ListExecutions(wanted, metadata=metadata(cell))
        found += [execution.id for execution in page.executions]
        token = page.next_page_token
        if not token:
            break
    assert found == ids[::-1]


async def test_executions_are_listed_by_status(client: Client, runtime, cell):
    failed = await run(client, "throw new Error('x')")
    wanted = pb.ListExecutionsRequest(status=[pb.STATUS_PROGRAM_ERROR], page_size=500)
    page = await runtime.ListExecutions(wanted, metadata=metadata(cell))
    assert failed.id in [execution.id for execution in page.executions]
    assert {execution.status for execution in page.executions} == {pb.STATUS_PROGRAM_ERROR}


async def test_an_unknown_execution_is_not_found(runtime, cell):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await get(runtime, cell, "exe_none")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_what_ran_in_a_killed_worker_goes_on_in_another(client: Client):
    cell_workers = workers(client)
    code = "const seed = Math.random(); console.log(seed); await new Promise((r) => setTimeout(r, 300)); return seed"
    streams = [client.stream(request(code)) for _ in range(2)]
    for stream in streams:
        await started(stream)
    for pid in cell_workers():
        os.kill(pid, signal.SIGKILL)
    for stream in streams:
        events = [event async for event in stream]
        finished = events[-1].finished
        assert finished.status == pb.STATUS_SUCCEEDED
        assert finished.attempts >= 2
        said = [event.log.text for event in events if event.HasField("log")]
        assert said in ([], [finished.result_json])
    assert (await run(client, "1 + 1")).result_json == "2"


def workers(_: Client):
    """A function that lists the worker processes of the one cell of this test run."""

    def pids() -> list[int]:
        return [
            child.pid
            for process in psutil.Process().children(recursive=True)
            if "runtime.worker.zygote" in " ".join(process.cmdline())
            for child in process.children()
        ]

    return pids


async def test_profiles_are_listed_and_shown(runtime, cell):
    listed = await runtime.ListProfiles(pb.ListProfilesRequest(), metadata=metadata(cell))
    names = [profile.name for profile in listed.profiles]
    assert names == sorted(names)
    assert {"untrusted", "standard", "trusted", "tests"} <= set(names)
    shown = await runtime.GetProfile(pb.GetProfileRequest(name="tests"), metadata=metadata(cell))
    assert shown.limits["cpu_ms"] == shown.ceilings["cpu_ms"] == 400
    assert (shown.limits["log_lines"], shown.ceilings["log_lines"]) == (50, 60)
    assert shown.languages == [pb.LANGUAGE_JAVASCRIPT, pb.LANGUAGE_PYTHON]
    assert shown.summary.digest in [profile.digest for profile in listed.profiles]


async def test_an_unknown_profile_is_not_found(runtime, cell):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await runtime.GetProfile(pb.GetProfileRequest(name="nope"), metadata=metadata(cell))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
