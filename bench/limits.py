"""Deadline overshoot: `python -m bench.limits`. How much later than its wall limit a program's reply arrives.

Four programs, in both languages where it matters: one that spins and one that floods host calls, alone and 16 at
once. Overshoot is measured at the client: from the limit, counted from the request's sending and the time it queued
(the wall clock starts with the program), to the reply.
"""

import argparse
import asyncio
import time
from functools import partial

import grpc

from bench.cell import bench_request, profile, rounds, running_cell
from bench.report import median_of, percentile, report
from runtime.client import Language
from runtime.rpc import runtime_pb2 as pb
from runtime.rpc import runtime_pb2_grpc
from runtime.service.cell import Cell

WALL_MS = 200
PROGRAMS: dict[str, tuple[Language, str]] = {
    "js_spin": ("javascript", "for (;;);"),
    "py_spin": ("python", "while True: pass"),
    "js_flood": ("javascript", "for (;;) await codemode.none.none({}).catch(() => 0)"),
    "py_flood": ("python", "while True:\n  try: await codemode.none.none()\n  except ToolError: pass"),
}
PROFILE = profile(
    "limits",
    limits={"wall_ms": WALL_MS, "cpu_ms": 60_000, "active_ms": 60_000, "host_calls": 100_000},
)


def note_time(arrived: list[float], number: int, _: object) -> None:
    arrived[number] = time.perf_counter()


def overshoots(cell: Cell, name: str, at_once: int, repeats: int) -> list[float]:
    language, code = PROGRAMS[name]
    request = bench_request(code, language, profile_name="limits")
    metadata = (("authorization", f"Bearer {cell.token}"),)
    found: list[float] = []
    with grpc.insecure_channel(cell.grpc_address) as channel:
        execute = runtime_pb2_grpc.RuntimeStub(channel).Execute
        for _ in range(repeats):
            sent = time.perf_counter()
            arrived = [0.0] * at_once
            replies = [execute.future(request, metadata=metadata) for _ in range(at_once)]
            for number, reply in enumerate(replies):
                reply.add_done_callback(partial(note_time, arrived, number))
            executions = [reply.result().execution for reply in replies]
            assert {execution.status for execution in executions} == {pb.STATUS_LIMIT_WALL}, executions
            found += [
                (arrived[number] - sent) * 1e3 - execution.timings.queued_us / 1e3 - WALL_MS
                for number, execution in enumerate(executions)
            ]
    return found


def one_round(cell: Cell) -> dict[str, float]:
    figures = {}
    for name in PROGRAMS:
        for at_once, repeats in ((1, 10), (16, 3)):
            late = overshoots(cell, name, at_once, repeats)
            figures[f"{name}_{at_once}_overshoot_p50_ms"] = percentile(late, 0.50)
            figures[f"{name}_{at_once}_overshoot_p95_ms"] = percentile(late, 0.95)
    return figures


async def measure(count: int) -> dict[str, float]:
    async with running_cell(PROFILE) as cell:
        return median_of(await rounds(count, lambda: one_round(cell)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    report(asyncio.run(measure(arguments.rounds)), arguments.json)


if __name__ == "__main__":
    main()
