"""The end of what only read is told before the store has it; the end of what changed something is not."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runtime.client import Client
from runtime.execution.execution import Execution, HostCallRecord
from runtime.execution.late_records import may_be_told_first
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell, write_config
from tests.durable.marks import Marks
from tests.execution.test_fair_queue import execution
from tests.service.programs import request

READS = "return (await codemode.marks.look({name: 'a'})).name;"
WRITES = "return (await codemode.marks.mark({name: 'hold'})).name;"


@contextmanager
def locked(state: StateDirectory) -> Iterator[None]:
    """Nothing is written into the store inside the block."""
    connection = sqlite3.connect(state.store_file, isolation_level=None, timeout=20)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


@pytest.fixture
def cell(tmp_path: Path, state: StateDirectory, upstream: Marks) -> Iterator[Cell]:
    config = write_config(tmp_path, upstream, kept={"executions": {"count": 1}})
    with durable_cell(state, config) as running:
        yield running


@pytest.fixture
async def client(cell: Cell) -> AsyncIterator[Client]:
    await upstreams_settled(cell.grpc_address, cell.token)
    async with Client(cell.grpc_address, cell.token) as client:
        yield client


async def test_what_only_read_is_told_while_the_store_is_locked_and_what_wrote_is_not(
    client: Client, state: StateDirectory, upstream: Marks
):
    writing = asyncio.create_task(client.execute(request(WRITES, profile="durable")))
    await asyncio.to_thread(upstream.wait_for, "hold")
    with locked(state):
        upstream.release()
        read = await client.execute(request(READS, profile="durable"))
        assert read.status == pb.STATUS_SUCCEEDED, read.error
        assert not writing.done()
    async with asyncio.timeout(30):
        wrote = await writing
    assert wrote.status == pb.STATUS_SUCCEEDED, wrote.error
    for ended in (read, wrote):
        reply = await client.replay(pb.ReplayRequest(execution_id=ended.id))
        assert reply.verified, reply.differences


async def test_one_that_memory_forgot_is_found_with_its_end(client: Client):
    for _ in range(5):
        first = await client.execute(request(READS, profile="durable"))
        await client.execute(request("1", profile="durable"))
        found = await client.execution(first.id)
        assert (found.status, found.result_json) == (pb.STATUS_SUCCEEDED, first.result_json)


def made(*calls: HostCallRecord, **fields: object) -> Execution:
    """An ended execution with these calls."""
    of = execution("agent")
    of.program = replace(of.program, **fields)  # type: ignore[arg-type]
    of.attempts, of.calls = 1, list(calls)
    return of


LOOKED = HostCallRecord(number=1, kind="tool", target="marks.look", started=0.0, read_only=True, began=True)
MARKED = HostCallRecord(number=1, kind="tool", target="marks.mark", started=0.0, began=True)
NEVER_LEFT = HostCallRecord(number=1, kind="tool", target="marks.none", started=0.0, outcome="not_found")


def test_what_may_be_told_first():
    assert may_be_told_first(made())
    assert may_be_told_first(made(LOOKED))
    assert may_be_told_first(made(NEVER_LEFT))
    assert not may_be_told_first(made(LOOKED, MARKED))
    assert not may_be_told_first(made(LOOKED, idempotency_key="once"))
    assert not may_be_told_first(made(LOOKED, kept_session="notes"))
    recovered = made(LOOKED)
    recovered.attempts = 2
    assert not may_be_told_first(recovered)


async def test_a_call_that_never_leaves_does_not_wait_for_the_store(client: Client, state: StateDirectory):
    code = "try { await codemode.marks.none({}) } catch (error) { return [error.code, inputs] }"
    with locked(state):
        told = await client.execute(request(code, profile="durable", inputs=1))
    assert told.result_json.replace(" ", "") == '["not_found",1]'
