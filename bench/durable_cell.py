"""A cell with an upstream whose calls are recorded, and of which one tool's need a human."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, Final

from bench.caller import Caller
from bench.cell import bench_request, profile, running_cell
from bench.receiver import Receiver
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell

_PROFILE: Final = profile(
    "durability",
    limits={"wall_ms": 60_000, "active_ms": 60_000, "cpu_ms": 10_000, "host_calls": 2_000},
    tools={"allow": ["receiver.*", "other.*"]},
    budgets={"execution": {"requests": 2_000}},
    approvals={"rules": [{"name": "decided", "action": "ask", "tools": ["receiver.decided"]}]},
)
_TEN: Final = "for (let n = 0; n < 10; n++) await codemode.receiver.mark({name: 'behind'});"
_ASKING: Final = """
    const {calls, at_once, name} = inputs;
    for (let n = 0; n < calls; n += at_once)
        await Promise.all(Array.from({length: at_once}, () => codemode.receiver.mark({name: "behind"})));
    return (await codemode.receiver.decided({name})).state;
"""
_HELD: Final = f"{_TEN} return (await codemode.UPSTREAM.look({{name: inputs.name}})).name"
_UPSTREAMS: Final = ("receiver", "other")
"""Both the same: an upstream has no more than 64 calls at once."""


@contextlib.asynccontextmanager
async def durable_cell(receiver: Receiver, store: dict[str, Any]) -> AsyncIterator[Cell]:
    """Its upstream is ready. `store`: as in lockgate.yaml."""
    upstream = {
        "kind": "openapi",
        "document": f"{receiver.url}/openapi.json",
        "base_url": receiver.url,
        "networks": ["127.0.0.1/32"],
        "retries": 0,
    }
    async with running_cell(_PROFILE, store=store, upstreams=dict.fromkeys(_UPSTREAMS, upstream)) as cell:
        with Caller(cell.grpc_address, cell.token) as caller:
            await asyncio.to_thread(caller.settle)
        yield cell


def durable_request(code: str, **fields: Any) -> pb.ExecuteRequest:
    return bench_request(code, "javascript", profile_name=_PROFILE["name"], **fields)


def asking(name: str, calls: int) -> pb.ExecuteRequest:
    """An execution that makes so many calls, and then one that somebody has to decide about.

    One after another; a hundred and more ten at once, which takes less of the benchmark's time.
    """
    return durable_request(_ASKING, inputs={"calls": calls, "at_once": 1 if calls < 100 else 10, "name": name})


def held(name: str, number: int) -> pb.ExecuteRequest:
    """An execution with ten calls behind it and one that only reads under way, asked for by a key."""
    code = _HELD.replace("UPSTREAM", _UPSTREAMS[number % len(_UPSTREAMS)])
    return durable_request(code, inputs={"name": name}, idempotency_key=name)
