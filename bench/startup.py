"""A fresh isolate per execution over real gRPC: JavaScript and Python, workers shared and dedicated.

A whole cell runs as its users run it, egress proxy included. One round is N calls one after another, then, where
workers are shared, 4 N calls with 16 in flight; dedicated workers serve N/5 calls, with the pause in between that
making the next one takes. `startup` is what the reply says of the time between a request's arrival in the worker and
the program's first instruction. Processor time is per execution, of the sequential and the parallel part together.
"""

import argparse
import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import get_args

import psutil

from bench.caller import Caller
from bench.cell import bench_request, profile, running_cell
from bench.processes import CpuMeter, pss_mb
from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from runtime.service.cell import Cell
from sandboxes.profile import LANGUAGES, Isolation, Language

WARM_UP = 100
PROGRAM = "1 + 1"
DEDICATED_PAUSE_S = 0.03
MEASURED: tuple[Language, ...] = ("javascript", "python")


def sequential(caller: Caller, language: Language, profile_name: str, count: int, pause_s: float) -> Round:
    request = bench_request(PROGRAM, language, profile_name=profile_name)
    label = label_of(language, profile_name)
    calls, startups = [], []
    for _ in range(count):
        took, execution = caller.timed(request)
        calls.append(took)
        startups.append(execution.timings.startup_us / 1e3)
        time.sleep(pause_s)
    measured = Round()
    measured.sample(f"{label}_call_ms", calls, (50, 95, 99))
    measured.sample(f"{label}_startup_ms", startups)
    return measured


def shared_round(cell: Cell, caller: Caller, language: Language, isolation: Isolation, count: int) -> Round:
    label = label_of(language, isolation)
    request = bench_request(PROGRAM, language, profile_name=isolation)
    with CpuMeter(cell) as meter:
        measured = sequential(caller, language, isolation, count, 0)
        measured.figures[f"{label}_throughput_per_s"] = caller.per_second(request, 4 * count)
    for kind in ("gateway", "worker"):
        measured.figures[f"{label}_{kind}_cpu_ms"] = meter.ms(kind) / (5 * count)
    return measured


def one_round(cell: Cell, caller: Caller, language: Language, isolation: Isolation, count: int) -> Round:
    if isolation == "dedicated":
        return sequential(caller, language, isolation, max(5, count // 5), DEDICATED_PAUSE_S)
    return shared_round(cell, caller, language, isolation, count)


def label_of(language: str, isolation: str) -> str:
    return language if isolation == "shared" else f"{language}_{isolation}"


def warm_up(caller: Caller, language: Language, isolation: Isolation) -> None:
    request = bench_request(PROGRAM, language, profile_name=isolation)
    for _ in range(WARM_UP if isolation != "dedicated" else 10):
        caller.timed(request)


async def measure(arguments: argparse.Namespace) -> list[Round]:
    names: list[Isolation] = arguments.isolation
    async with running_cell(*(profile(name, isolation=name) for name in names)) as cell:
        with Caller(cell.grpc_address, cell.token) as caller:
            return await asyncio.to_thread(lambda: list(measured_rounds(cell, caller, arguments)))


def measured_rounds(cell: Cell, caller: Caller, arguments: argparse.Namespace) -> Iterator[Round]:
    """Round by round all kinds in turn, so that a busy minute of the machine does not fall on one of them."""
    kinds = [(language, isolation) for isolation in arguments.isolation for language in arguments.language]
    at_rest = figures_at_rest(cell)
    for language, isolation in kinds:
        warm_up(caller, language, isolation)
    for _ in counted("startup", arguments.rounds):
        measured = Round(figures=dict(at_rest))
        for language, isolation in kinds:
            measured.add(one_round(cell, caller, language, isolation, arguments.n))
        yield measured


def figures_at_rest(cell: Cell) -> dict[str, float]:
    """Only root may read the memory of workers."""
    with suppress(psutil.AccessDenied):
        return {"cell_at_rest_pss_mb": pss_mb(cell)}
    return {}


def charts(labels: list[str], shared: list[str]) -> Iterator[Chart]:
    for label in labels:
        title = f"{label.replace('_', ', ')}: whole call"
        yield Chart(kind="distribution", title=title, names=[f"{label}_call_ms"], unit="ms")
    throughputs = [f"{label}_throughput_per_s" for label in shared]
    yield Chart(kind="bars", title="Throughput, 16 in flight", names=throughputs, unit="executions per second")
    cpu = [f"{label}_{kind}_cpu_ms" for label in shared for kind in ("gateway", "worker")]
    yield Chart(kind="bars", title="Processor time of one execution", names=cpu, unit="ms")


def main() -> None:
    parser = options(__doc__, rounds=5, n=1_000, n_means="calls one after another in a round")
    parser.add_argument("--language", nargs="+", choices=LANGUAGES, default=list(MEASURED))
    parser.add_argument("--isolation", nargs="+", choices=get_args(Isolation), default=["shared", "dedicated"])
    arguments = parse(parser)
    rounds = asyncio.run(measure(arguments))
    kinds = [(language, isolation) for isolation in arguments.isolation for language in arguments.language]
    labels = [label_of(*kind) for kind in kinds]
    shared = [label_of(*kind) for kind in kinds if kind[1] != "dedicated"]
    finish("startup", arguments, rounds, charts(labels, shared))


if __name__ == "__main__":
    main()
