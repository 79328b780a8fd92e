"""Deadline overshoot: how much later than its wall limit a program's reply arrives.

Four programs: in both languages one that spins and one that floods host calls; each alone, and 16 at once.
Overshoot is measured at the client: from the deadline, which is the limit after the program was handed to its worker,
to the reply. When that was, the reply says: the wall clock starts neither with the request's sending nor as it queues.
"""

import argparse
import asyncio
import time
from functools import partial

from bench.caller import Caller
from bench.cell import bench_request, profile, running_cell
from bench.result import Chart, Round
from bench.run import counted, finish, options, parse, progress
from runtime.client import Language
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell

WALL_MS = 200
AT_ONCE = 16
PROGRAMS: dict[str, tuple[Language, str]] = {
    "javascript_spin": ("javascript", "for (;;);"),
    "python_spin": ("python", "while True: pass"),
    "javascript_flood": ("javascript", "for (;;) await codemode.none.none({}).catch(() => 0)"),
    "python_flood": ("python", "while True:\n  try: await codemode.none.none()\n  except ToolError: pass"),
}
PROFILE = profile(
    "limits",
    limits={"wall_ms": WALL_MS, "cpu_ms": 60_000, "active_ms": 60_000, "host_calls": 100_000},
)


def note_time(arrived: list[int], number: int, _: object) -> None:
    arrived[number] = time.time_ns()


def overshoots(caller: Caller, request: pb.ExecuteRequest, at_once: int) -> list[float]:
    """Of so many executions sent together."""
    arrived = [0] * at_once
    replies = [caller.future(request) for _ in range(at_once)]
    for number, reply in enumerate(replies):
        reply.add_done_callback(partial(note_time, arrived, number))
    executions = [reply.result().execution for reply in replies]
    wrong = [execution for execution in executions if execution.status != pb.STATUS_LIMIT_WALL]
    if wrong:
        raise RuntimeError(f"{pb.Status.Name(wrong[0].status)} instead of the wall limit: {wrong[0].error.message}")
    while not all(arrived):  # result() may return before the callbacks have run
        time.sleep(0.001)
    return [(arrived[number] - deadline_ns(execution)) / 1e6 for number, execution in enumerate(executions)]


def deadline_ns(execution: pb.Execution) -> int:
    """When the reply was due, by the clock of this machine: service and client have the same."""
    return execution.created_at.ToNanoseconds() + execution.timings.queued_us * 1_000 + WALL_MS * 1_000_000


def one_round(cell: Cell, count: int) -> Round:
    measured = Round()
    with Caller(cell.grpc_address, cell.token) as caller:
        for name, (language, code) in PROGRAMS.items():
            request = bench_request(code, language, profile_name="limits")
            for at_once in (1, AT_ONCE):
                progress(f"limits: {name}, {at_once} at once")
                times = count if at_once == 1 else max(2, count // 5)
                late = [value for _ in range(times) for value in overshoots(caller, request, at_once)]
                measured.sample(f"{name}_{at_once}_overshoot_ms", late)
    return measured


async def measure(arguments: argparse.Namespace) -> list[Round]:
    async with running_cell(PROFILE) as cell:
        return [await asyncio.to_thread(one_round, cell, arguments.n) for _ in counted("limits", arguments.rounds)]


CHARTS = [
    Chart(
        kind="distribution",
        title=f"{name.replace('_', ', ')}: deadline overshoot",
        names=[f"{name}_{at_once}_overshoot_ms" for at_once in (1, AT_ONCE)],
        unit="ms",
    )
    for name in PROGRAMS
]


def main() -> None:
    n_means = "times each program runs alone; a fifth as often 16 at once"
    arguments = parse(options(__doc__, rounds=5, n=20, n_means=n_means))
    finish("limits", arguments, asyncio.run(measure(arguments)), CHARTS)


if __name__ == "__main__":
    main()
