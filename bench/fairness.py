"""A quiet tenant beside a flooding one: its first execution, and its calls from then on, with and without the flood.

The flooding tenant (bench/flood.py, a process of its own) keeps a thousand executions waiting or running; each computes
for a millisecond. A first execution is that of an owner whom the cell has not seen: it needs a worker of its own.
Every round has a cell of its own, since owners keep their workers for a while.
"""

import argparse
import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator

from bench.caller import Caller
from bench.cell import bench_request, profile, running_cell
from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from runtime.service.cell import Cell

PAUSE_S = 0.01
MOST_FIRSTS = 20  # times two, alone and beside: a cell has 64 workers
BETWEEN_FIRSTS_S = 0.1


def quiet_calls(caller: Caller, owners: list[str], pause_s: float) -> list[float]:
    """One call of each owner."""
    took = []
    for owner in owners:
        request = bench_request("1 + 1", "javascript", profile_name="fair", owner=owner)
        took.append(caller.timed(request)[0])
        time.sleep(pause_s)
    return took


def first_and_steady(caller: Caller, situation: str, count: int) -> Round:
    firsts = min(MOST_FIRSTS, count)
    measured = Round()
    newcomers = [f"{situation}-{number}" for number in range(firsts)]
    measured.sample(f"first_{situation}_ms", quiet_calls(caller, newcomers, BETWEEN_FIRSTS_S))
    quiet_calls(caller, ["quiet"] * 10, PAUSE_S)
    measured.sample(f"steady_{situation}_ms", quiet_calls(caller, ["quiet"] * count, PAUSE_S))
    return measured


@contextlib.contextmanager
def flooding(cell: Cell, figures: dict[str, float]) -> Iterator[None]:
    """A thousand executions of another owner under way inside; their rate among the figures after."""
    command = [sys.executable, "-m", "bench.flood", cell.grpc_address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdin is not None
        assert flood.stdout is not None
        begun = time.perf_counter()
        print(cell.token, file=flood.stdin, flush=True)
        flood.stdout.readline()
        try:
            yield
        finally:
            flood.stdin.close()
        figures["flood_per_s"] = int(flood.stdout.readline()) / (time.perf_counter() - begun)


def one_round(cell: Cell, count: int) -> Round:
    with Caller(cell.grpc_address, cell.token) as caller:
        measured = first_and_steady(caller, "alone", count)
        with flooding(cell, measured.figures):
            measured.add(first_and_steady(caller, "beside_flood", count))
    for kind in ("first", "steady"):
        alone, beside = (measured.figures[f"{kind}_{where}_p95_ms"] for where in ("alone", "beside_flood"))
        measured.figures[f"{kind}_p95_ratio"] = beside / alone
    return measured


async def measure(arguments: argparse.Namespace) -> list[Round]:
    found = []
    for _ in counted("fairness", arguments.rounds):
        async with running_cell(profile("fair", isolation="tenant")) as cell:
            found.append(await asyncio.to_thread(one_round, cell, arguments.n))
    return found


CHARTS = [
    Chart(
        kind="distribution",
        title="A quiet owner's first execution",
        names=["first_alone_ms", "first_beside_flood_ms"],
        unit="ms",
    ),
    Chart(
        kind="distribution",
        title="The same owner's further executions",
        names=["steady_alone_ms", "steady_beside_flood_ms"],
        unit="ms",
    ),
    Chart(
        kind="bars",
        title="p95 beside a flood, divided by p95 alone",
        names=["first_p95_ratio", "steady_p95_ratio"],
        unit="times",
    ),
]


def main() -> None:
    arguments = parse(options(__doc__, rounds=5, n=200, n_means="calls of the quiet owner in each situation"))
    finish("fairness", arguments, asyncio.run(measure(arguments)), CHARTS)


if __name__ == "__main__":
    main()
