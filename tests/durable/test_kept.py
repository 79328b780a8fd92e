"""What programs leave for later ones is there after the gateway was killed: values of a session, and whole results."""

import asyncio
from pathlib import Path

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell, kill_gateway
from tests.durable.marks import Marks
from tests.service.programs import request

LEAVES = """
    await store.set("seen", [1, 2]);
    await store.set("dropped", 1);
    await store.delete("dropped");
    await codemode.marks.mark({name: "one"});
    return {items: Array.from({length: 500}, (_, id) => ({id}))};
"""
FINDS = {
    "javascript": "return [await store.get('seen'), await store.keys(), (await results[inputs]).items.length];",
    "python": "[await store.get('seen'), await store.keys(), len((await results[inputs])['items'])]",
}


async def after_the_restart(address: str, token: str, asked: pb.ExecuteRequest) -> pb.Execution:
    async with asyncio.timeout(60), Client(address, token) as client:
        while True:
            try:
                return await client.execute(asked)
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE, error
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("language", FINDS)
async def test_values_and_results_outlive_a_killed_gateway(
    state: StateDirectory, config: Path, upstream: Marks, language: str
):
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            leaves = request(LEAVES, profile="durable", session_id="notes", inline_bytes=256)
            first = await client.execute(leaves)
        assert first.status == pb.STATUS_SUCCEEDED, first.error
        kill_gateway(cell)
        finds = request(
            FINDS[language], language, profile="durable", session_id="notes", inputs=first.result_cut.handle
        )
        found = await after_the_restart(cell.grpc_address, cell.token, finds)
    assert found.status == pb.STATUS_SUCCEEDED, found.error
    assert found.result_json.replace(" ", "") == '[[1,2],["seen"],500]'
    assert upstream.writes == ["one"]
