"""Processes die at random moments under hundreds of executions; the upstream's own ledger is compared with the journal.

Every accepted execution ends; each write has arrived as often as the journal says: once, or, where the program was told
that nobody knows (the gateway died) or that the way out broke (the egress proxy died), once or not at all.
"""

import asyncio
import contextlib
import json
import random
from collections import Counter
from pathlib import Path

import grpc
import pytest

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import (
    durable_cell,
    kill_egress,
    kill_everything,
    kill_gateway,
    kill_workers,
    kill_zygote,
)
from tests.durable.marks import Marks
from tests.service.programs import request

EXECUTIONS = 240
AT_ONCE = 24
SEED = 20

KILLS = (kill_workers, kill_gateway, kill_zygote, kill_egress, kill_everything)

PROGRAMS = {
    "javascript": """
        const done = [], unknown = [];
        async function mark(name) {
            try { await codemode.marks.mark({name}); done.push(name); }
            catch (e) { if (!["outcome_unknown", "unavailable"].includes(e.code)) throw e; unknown.push(name); }
        }
        await mark(inputs + "-1");
        try { await codemode.marks.look({name: inputs + "-look"}); }
        catch (e) { if (!["outcome_unknown", "unavailable"].includes(e.code)) throw e; }
        await new Promise((r) => setTimeout(r, Math.random() * 20));
        await Promise.all([mark(inputs + "-2"), mark(inputs + "-3")]);
        console.log(inputs);
        await mark(inputs + "-4");
        return {done, unknown};
    """,
    "python": """
import asyncio, random
done, unknown = [], []
async def mark(name):
    try:
        await codemode.marks.mark(name=name)
        done.append(name)
    except ToolError as e:
        if e.code not in ("outcome_unknown", "unavailable"):
            raise
        unknown.append(name)
await mark(inputs + "-1")
try:
    await codemode.marks.look(name=inputs + "-look")
except ToolError as e:
    if e.code not in ("outcome_unknown", "unavailable"):
        raise
await asyncio.sleep(random.random() / 50)
await asyncio.gather(mark(inputs + "-2"), mark(inputs + "-3"))
print(inputs)
await mark(inputs + "-4")
{"done": done, "unknown": unknown}
    """,
}


async def through_everything(cell: Cell, number: int) -> pb.Execution:
    """One execution, asked for by its key until it has ended."""
    language = "python" if number % 2 else "javascript"
    message = request(
        PROGRAMS[language],
        language,
        profile="durable",
        inputs=f"e{number}",
        idempotency_key=f"chaos-{number}",
    )
    while True:
        with contextlib.suppress(grpc.aio.AioRpcError):
            async with Client(cell.grpc_address, cell.token) as client:
                execution = await client.execute(message)
                assert execution.HasField("ended_at")
                return execution
        await asyncio.sleep(0.05)


class Over:
    """How many executions are."""

    def __init__(self) -> None:
        self._count = 0
        self._changed = asyncio.Condition()

    async def add(self) -> None:
        async with self._changed:
            self._count += 1
            self._changed.notify_all()

    async def reach(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._count >= count)


@pytest.mark.timeout(300)
async def test_no_write_is_made_twice_and_no_execution_is_lost(state: StateDirectory, config: Path, upstream: Marks):
    chance = random.Random(SEED)
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        room = asyncio.Semaphore(AT_ONCE)

        over = Over()

        async def one(number: int) -> pb.Execution:
            async with room:
                execution = await through_everything(cell, number)
                await over.add()
                return execution

        running = [asyncio.ensure_future(one(number)) for number in range(EXECUTIONS)]
        kills: Counter[str] = Counter()
        for part in range(1, 9):
            await over.reach(part * EXECUTIONS // 10 + chance.randrange(AT_ONCE // 2))
            kill = KILLS[part % len(KILLS)]
            kill(cell)
            kills[kill.__name__] += 1
        async with asyncio.timeout(240):
            executions = await asyncio.gather(*running)
        assert set(kills) == {kill.__name__ for kill in KILLS}
    arrived = Counter(upstream.writes)
    recovered = 0
    for execution in executions:
        assert execution.status == pb.STATUS_SUCCEEDED, str(execution)
        name = execution.logs[0].text
        told = json.loads(execution.result_json)
        recovered += execution.attempts > 1
        assert sorted(told["done"] + told["unknown"]) == [f"{name}-{n}" for n in (1, 2, 3, 4)]
        assert all(arrived[write] == 1 for write in told["done"])
        assert all(arrived[write] <= 1 for write in told["unknown"])
        assert [line.text for line in execution.logs] == [name]
    assert recovered > 0
