"""The same on PostgreSQL: a gateway is killed, and the server stops and comes back, under an execution."""

import asyncio
import contextlib
import re
from pathlib import Path

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell, kill_gateway, write_config
from tests.durable.marks import Marks
from tests.durable.test_recovery import ended
from tests.service.programs import request
from tests.store.postgres_server import PostgresServer

SLOW = """
    await codemode.marks.mark({name: "one"});
    try { await codemode.marks.mark({name: "hold"}) } catch (e) { return e.code }
    await codemode.marks.mark({name: "three"});
    return "all";
"""


@pytest.fixture
def config(tmp_path: Path, upstream: Marks, postgres: PostgresServer) -> Path:
    url = f"postgresql://lockgate@127.0.0.1:{postgres.port}/{postgres.new_database()}"
    (tmp_path / "password").write_text(postgres.password)
    return write_config(tmp_path, upstream, store={"kind": "postgres", "url": url, "password": {"file": "password"}})


async def attached(cell: Cell, message: pb.ExecuteRequest) -> pb.Execution:
    """Asked for by its key, until the gateway is there again."""
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                async with Client(cell.grpc_address, cell.token) as client:
                    return await client.execute(message)
            await asyncio.sleep(0.05)


async def test_a_killed_gateway_s_execution_goes_on_from_postgresql(
    state: StateDirectory, config: Path, upstream: Marks
) -> None:
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            message = request(SLOW, "javascript", profile="durable", idempotency_key="k")
            running = asyncio.create_task(client.execute(message))
            await asyncio.to_thread(upstream.wait_for, "hold")
            kill_gateway(cell)
            upstream.release()
            with pytest.raises(grpc.aio.AioRpcError):
                await running
        execution = await attached(cell, message)
    assert execution.status == pb.STATUS_SUCCEEDED, execution.error
    assert execution.result_json == '"outcome_unknown"'
    assert upstream.writes == ["one", "hold"]
    assert not (state.path / "store.sqlite").exists()


async def refused(client: Client, plain: pb.ExecuteRequest) -> None:
    """Return once even a program that has no record is refused: when the store has been missed."""
    async with asyncio.timeout(30):
        while True:
            try:
                assert (await client.execute(plain)).result_json == "2"
            except grpc.aio.AioRpcError as error:
                assert error.code() is grpc.StatusCode.UNAVAILABLE, error
                return


async def test_while_the_server_is_gone_nothing_begins_and_nothing_is_lost(
    state: StateDirectory, config: Path, upstream: Marks, postgres: PostgresServer
) -> None:
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            running = asyncio.create_task(client.execute(request(SLOW, "javascript", profile="durable")))
            await asyncio.to_thread(upstream.wait_for, "hold")
            await asyncio.to_thread(postgres.stop, "immediate")
            try:
                upstream.release()
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await client.execute(request("1", "javascript", profile="durable", idempotency_key="new"))
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                assert re.search("PostgreSQL", caught.value.details() or "")
                await refused(client, request("return 1 + 1", "javascript", profile="durable"))
                assert not running.done()
            finally:
                await asyncio.to_thread(postgres.start)
            execution = await running
            assert execution.result_json == '"all"', execution.error
            kept = await ended(cell.grpc_address, cell.token, execution.id)
            assert [call.outcome for call in kept.host_calls] == ["ok"] * 3
    assert upstream.writes == ["one", "hold", "three"]
