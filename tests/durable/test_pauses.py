"""What a paused program may still do: a timer it waits for beside a decision wakes it."""

import contextlib
import sqlite3
from pathlib import Path

import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell
from tests.durable.shop import shop, write_shop_config
from tests.durable.test_recovery import ended
from tests.service.programs import request

PROGRAMS = {
    "javascript": """
        const placed = codemode.shop.place({body: {amount: 500, items: ["a"]}}).then(() => "placed");
        return await Promise.race([placed, new Promise((r) => setTimeout(() => r("too late"), MS))]);
    """,
    "python": """
import asyncio
placed = asyncio.ensure_future(codemode.shop.place(body={"amount": 500, "items": ["a"]}))
done, _ = await asyncio.wait([placed], timeout=MS / 1000)
"placed" if done else "too late"
    """,
}


ASKED = [{"name": "all", "action": "ask", "tools": ["shop.place"]}]


async def paused(cell: Cell, language: str, ms: int) -> pb.Execution:
    """One that waits for a decision, and for a timer of so many milliseconds."""
    await upstreams_settled(cell.grpc_address, cell.token)
    async with Client(cell.grpc_address, cell.token) as client:
        execution = await client.execute(request(PROGRAMS[language].replace("MS", str(ms)), language, profile="shop"))
    assert execution.status == pb.STATUS_PAUSED, execution
    return execution


def state_of(state: StateDirectory, execution: pb.Execution) -> str:
    with contextlib.closing(sqlite3.connect(state.store_file)) as connection:
        return connection.execute("SELECT state FROM executions WHERE id = ?", (execution.id,)).fetchone()[0]


@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_timer_wakes_a_program_that_waits_for_a_decision(state: StateDirectory, tmp_path: Path, language: str):
    with shop() as kept:
        with durable_cell(state, write_shop_config(tmp_path, kept.port, ASKED)) as cell:
            execution = await paused(cell, language, 700)
            execution = await ended(cell.grpc_address, cell.token, execution.id)
        assert execution.result_json == '"too late"', execution.error
        assert kept.asked == []


@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_timer_wakes_it_in_a_later_gateway_too(state: StateDirectory, tmp_path: Path, language: str):
    with shop() as kept:
        config = write_shop_config(tmp_path, kept.port, ASKED)
        with durable_cell(state, config) as cell:
            execution = await paused(cell, language, 3_000)
        assert state_of(state, execution) == "paused"
        with durable_cell(state, config) as cell:
            execution = await ended(cell.grpc_address, cell.token, execution.id)
        assert execution.result_json == '"too late"', execution.error
        assert kept.asked == []
