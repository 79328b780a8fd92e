"""Budgets of lockgate.yaml, on a cell that has small ones: what is kept, and what a model is told."""

import grpc
import pytest
import yaml

from runtime.client import Client
from runtime.rpc import runtime_pb2_grpc
from runtime.service.cell import CellOptions
from tests.cell import TestCell, open_shared_state, running_cell
from tests.service.programs import run
from tests.service.test_lifecycle import get
from tests.service.test_mcp import over_http, over_stdio, text

CONFIG = {
    "portal": {"result_bytes": 300, "log_lines": 2, "log_characters": 12, "describe_tokens": 50},
    "kept": {
        "executions": {"count": 2},
        "results": {"per_owner": 1, "expiry_s": 600},
        "stores": {"per_owner": 1, "owner_bytes": 20},
    },
}
TERMS = {"profile": "standard", "inline_bytes": 256}
BOTH = pytest.mark.parametrize("connect", [over_http, over_stdio])


@pytest.fixture(scope="module")
def cell(tmp_path_factory):
    directory = tmp_path_factory.mktemp("budgets")
    config = directory / "lockgate.yaml"
    config.write_text(yaml.safe_dump(CONFIG))
    state = open_shared_state(directory / "state")
    with running_cell(CellOptions(state=state, config_file=config, any_port=True, workers=1)) as running:
        yield TestCell(cell=running, state=state, site="", config_file=config)


async def test_the_oldest_result_of_an_owner_goes(client: Client):
    first = (await run(client, "'x'.repeat(1_000)", **TERMS)).result_cut
    second = (await run(client, "'y'.repeat(1_000)", **TERMS)).result_cut
    assert (await client.result(second.handle, owner="tests")).total == 1_000
    with pytest.raises(grpc.aio.AioRpcError, match="there is no result"):
        await client.result(first.handle, owner="tests")
    after = await run(client, "1", profile="standard")
    assert 0 <= after.ended_at.seconds + 600 - second.expires_at.seconds < 60


async def test_the_oldest_execution_is_forgotten(cell: TestCell, client: Client):
    ids = [(await run(client, "1", profile="standard")).id for _ in range(3)]
    async with grpc.aio.insecure_channel(cell.address) as channel:
        runtime = runtime_pb2_grpc.RuntimeStub(channel)
        assert (await get(runtime, cell, ids[1])).id == ids[1]
        with pytest.raises(grpc.aio.AioRpcError) as error:
            await get(runtime, cell, ids[0])
    assert error.value.code() is grpc.StatusCode.NOT_FOUND


async def test_the_stores_of_an_owner_are_bounded(client: Client):
    await run(client, "await store.set('k', 1)", profile="standard", session_id="one")
    full = await run(client, "await store.set('k', 'x'.repeat(20))", profile="standard", session_id="one")
    assert "limit owner_stores_bytes reached: at most 20" in full.error.message
    another = await run(client, "await store.set('k', 1)", profile="standard", session_id="two")
    assert "limit stores reached: at most 1 sessions" in another.error.message


@BOTH
async def test_what_a_reply_of_execute_tells_a_model(cell: TestCell, connect):
    code = "for (const n of [1, 2, 3]) console.log('line ' + n); 'x'.repeat(1_000)"
    async with connect(cell) as client:
        done = await client.call_tool("execute", {"code": code, "profile": "standard"})
    assert not done.is_error
    assert len(done.structured_content["result"]) <= 300
    assert done.structured_content["left_out"]["total_bytes"] == 1_002
    assert text(done).endswith("Log (2 lines not shown):\nline 3")
