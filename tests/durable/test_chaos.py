"""Processes die at random moments under hundreds of executions; the upstream's own ledger is compared with the journal.

Every accepted execution ends; each write has arrived as often as the journal says: once, or, where the outcome is told
to be unknown, once or not at all.
"""

import asyncio
import contextlib
import json
import random
from collections import Counter
from pathlib import Path

import grpc

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell
from sandboxes.state import StateDirectory
from tests.cell import upstreams_settled
from tests.durable.conftest import durable_cell, kill_gateway, kill_workers
from tests.durable.marks import Marks
from tests.service.programs import request

EXECUTIONS = 240
AT_ONCE = 24
SEED = 20

PROGRAMS = {
    "javascript": """
        const done = [], unknown = [];
        async function mark(name) {
            try { await codemode.marks.mark({name}); done.push(name); }
            catch (e) { if (e.code !== "outcome_unknown") throw e; unknown.push(name); }
        }
        await mark(inputs + "-1");
        await codemode.marks.look({name: inputs + "-look"});
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
        if e.code != "outcome_unknown":
            raise
        unknown.append(name)
await mark(inputs + "-1")
await codemode.marks.look(name=inputs + "-look")
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


async def test_no_write_is_made_twice_and_no_execution_is_lost(state: StateDirectory, config: Path, upstream: Marks):
    chance = random.Random(SEED)
    with durable_cell(state, config) as cell:
        await upstreams_settled(cell.grpc_address, cell.token)
        room = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> pb.Execution:
            async with room:
                return await through_everything(cell, number)

        running = [asyncio.ensure_future(one(number)) for number in range(EXECUTIONS)]
        kills: Counter[str] = Counter()
        for part in range(1, 9):
            await asyncio.to_thread(upstream.wait_for_writes, part * EXECUTIONS * 4 // 10 + chance.randrange(20))
            kind = "workers" if part % 2 else "gateway"
            (kill_workers if part % 2 else kill_gateway)(cell)
            kills[kind] += 1
        async with asyncio.timeout(240):
            executions = await asyncio.gather(*running)
        assert kills == {"workers": 4, "gateway": 4}
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
        assert execution.outcome_unknown == bool(told["unknown"])
        assert [line.text for line in execution.logs] == [name]
    assert recovered > 0
