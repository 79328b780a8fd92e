"""What a paused program may still do: a timer it waits for beside a decision wakes it."""

from pathlib import Path

import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell
from tests.durable.shop import shop, write_shop_config
from tests.durable.test_recovery import ended
from tests.service.programs import request

PROGRAMS = {
    "javascript": """
        const placed = codemode.shop.place({body: {amount: 500, items: ["a"]}}).then(() => "placed");
        return await Promise.race([placed, new Promise((r) => setTimeout(() => r("too late"), 700))]);
    """,
    "python": """
import asyncio
placed = asyncio.ensure_future(codemode.shop.place(body={"amount": 500, "items": ["a"]}))
done, _ = await asyncio.wait([placed], timeout=0.7)
"placed" if done else "too late"
    """,
}


@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_timer_wakes_a_program_that_waits_for_a_decision(state: StateDirectory, tmp_path: Path, language: str):
    with shop() as kept:
        rules = [{"name": "all", "action": "ask", "tools": ["shop.place"]}]
        config = write_shop_config(tmp_path, kept.port, rules)
        with durable_cell(state, config) as cell:
            await upstreams_settled(cell.grpc_address, cell.token)
            async with Client(cell.grpc_address, cell.token) as client:
                execution = await client.execute(request(PROGRAMS[language], language, profile="shop"))
            assert execution.status == pb.STATUS_PAUSED, execution
            execution = await ended(cell.grpc_address, cell.token, execution.id)
        assert execution.result_json == '"too late"', execution.error
        assert kept.asked == []
