"""What a profile does not want to be kept goes from the store when the execution ends."""

import contextlib
import sqlite3
from pathlib import Path

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell, write_config
from tests.durable.marks import Marks
from tests.service.programs import request

CODE = "return (await codemode.marks.mark({name: 'secret-name'})).count"


def kept(state: StateDirectory) -> list[tuple[str | None, str | None]]:
    with contextlib.closing(sqlite3.connect(state.store_file)) as connection:
        return connection.execute("SELECT payload, answer FROM calls").fetchall()


async def test_arguments_go_and_the_execution_can_still_be_replayed(
    state: StateDirectory, tmp_path: Path, upstream: Marks
):
    config = write_config(tmp_path, upstream, profile={"retention": {"arguments": "digest"}})
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            execution = await client.execute(request(CODE, profile="durable"))
            assert execution.status == pb.STATUS_SUCCEEDED, execution.error
            reply = await client.replay(pb.ReplayRequest(execution_id=execution.id))
            assert reply.verified, reply.differences
            other = pb.ReplayRequest(execution_id=execution.id, code=CODE.replace("secret", "other"))
            assert not (await client.replay(other)).verified
    ((payload, answer),) = kept(state)
    assert payload is None
    assert answer is not None


async def test_without_answers_there_is_no_replay(state: StateDirectory, tmp_path: Path, upstream: Marks):
    config = write_config(tmp_path, upstream, profile={"retention": {"answers": "digest"}})
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        async with Client(cell.grpc_address, cell.token) as client:
            execution = await client.execute(request(CODE, profile="durable"))
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await client.replay(pb.ReplayRequest(execution_id=execution.id))
            assert refused.value.code() is grpc.StatusCode.DATA_LOSS
            assert "retention.answers" in str(refused.value.details())
    ((payload, answer),) = kept(state)
    assert answer is None
    assert payload is not None
