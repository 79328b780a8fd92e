"""Executions go on after workers and gateways die, and no completed call is made twice."""

import asyncio
from pathlib import Path

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell, kill_gateway, kill_workers, write_config
from tests.durable.marks import Marks
from tests.service.programs import request, texts

STEPS = {
    "javascript": """
        const seen = [];
        for (const name of ["one", "two", "hold", "three"]) {
            console.log(name, Date.now() > 0, Math.random() < 1);
            seen.push((await codemode.marks.mark({name})).count);
        }
        return [seen, (await codemode.marks.look({name: "last"})).count];
    """,
    "python": """
import time, random
seen = []
for name in ["one", "two", "hold", "three"]:
    print(name, time.time() > 0, random.random() < 1)
    seen.append((await codemode.marks.mark(name=name))["count"])
[seen, (await codemode.marks.look(name="last"))["count"]]
    """,
}


async def ended(address: str, token: str, execution: str) -> pb.Execution:
    """The end of an execution, through restarts of the gateway."""
    async with asyncio.timeout(60), Client(address, token) as client:
        while True:
            try:
                found = await client.execution(execution)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE, error
            else:
                if found.HasField("ended_at"):
                    return found
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("language", STEPS)
async def test_a_killed_worker_loses_nothing(state: StateDirectory, config: Path, upstream: Marks, language: str):
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            running = asyncio.create_task(client.execute(request(STEPS[language], language, profile="durable")))
            await asyncio.to_thread(upstream.wait_for, "hold")
            kill_workers(cell)
            upstream.release()
            execution = await running
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    assert execution.result_json == "[[1,1,1,1],1]".replace(",", ", ") or execution.result_json == "[[1,1,1,1],1]"
    assert upstream.writes == ["one", "two", "hold", "three"]
    assert [text.split()[0] for text in texts(execution)] == ["one", "two", "hold", "three"]
    assert execution.attempts >= 2


@pytest.mark.parametrize("language", STEPS)
async def test_a_killed_gateway_goes_on_and_says_what_is_not_known(
    state: StateDirectory, config: Path, upstream: Marks, language: str
):
    caught = STEPS[language]
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            stream = client.stream(request(caught, language, profile="durable"))
            first = await anext(aiter(stream))
            await asyncio.to_thread(upstream.wait_for, "hold")
            kill_gateway(cell)
            upstream.release()
        execution = await ended(cell.grpc_address, cell.token, first.accepted.execution_id)
    assert execution.status == pb.STATUS_PROGRAM_ERROR
    assert execution.error.call.code == "outcome_unknown"
    assert "OutcomeUnknown" in execution.error.message
    assert execution.outcome_unknown
    assert upstream.writes == ["one", "two", "hold"]


async def test_an_upstream_that_honours_keys_is_asked_again(state: StateDirectory, tmp_path: Path, upstream: Marks):
    config = write_config(tmp_path, upstream, upstream={"idempotency_header": "Idempotency-Key"})
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            stream = client.stream(request(STEPS["javascript"], profile="durable"))
            first = await anext(aiter(stream))
            await asyncio.to_thread(upstream.wait_for, "hold")
            kill_gateway(cell)
            upstream.release()
        execution = await ended(cell.grpc_address, cell.token, first.accepted.execution_id)
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    assert upstream.writes == ["one", "two", "hold", "hold", "three"]
    held = [key for name, key in zip(upstream.writes, upstream.keys, strict=False) if name == "hold"]
    assert held[0] == held[1] == f"{execution.id}-3"
    assert not execution.outcome_unknown
