"""A fresh isolate per execution over real gRPC: `python -m bench.startup --language javascript --n 1000`.

A whole cell runs as its users run it, egress proxy included. One round is N calls one after another, then 4 N
calls with 16 in flight; every figure is the median of the rounds. `startup` is what the reply says of the time
between a request's arrival in the worker and the program's first instruction. Processor time is per execution, of
the sequential and the parallel part together.
"""

import argparse
import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

import grpc
import psutil

from bench.cell import bench_request, profile, rounds, running_cell
from bench.report import median_of, percentile, report
from runtime.client import Language
from runtime.rpc import runtime_pb2, runtime_pb2_grpc
from runtime.service.cell import Cell

IN_FLIGHT = 16
WARM_UP = 100
PROGRAM = "1 + 1"


class Caller:
    """A synchronous client: an asynchronous one would take more of the two cores."""

    def __init__(self, cell: Cell, language: Language) -> None:
        self._metadata = (("authorization", f"Bearer {cell.token}"),)
        self._channel = grpc.insecure_channel(cell.grpc_address)
        self._execute = runtime_pb2_grpc.RuntimeStub(self._channel).Execute
        self._request = bench_request(PROGRAM, language, profile_name="bench")

    def once(self) -> runtime_pb2.Execution:
        execution = self._execute(self._request, metadata=self._metadata).execution
        assert execution.result_json == "2", execution
        return execution

    def many(self, count: int) -> float:
        """Executions per second with IN_FLIGHT under way."""
        turns = threading.Semaphore(IN_FLIGHT)
        begun = time.perf_counter()
        for _ in range(count):
            turns.acquire()
            self._execute.future(self._request, metadata=self._metadata).add_done_callback(lambda _: turns.release())
        for _ in range(IN_FLIGHT):
            turns.acquire()
        return count / (time.perf_counter() - begun)

    def close(self) -> None:
        self._channel.close()


def processes(cell: Cell) -> Iterator[tuple[str, psutil.Process]]:
    """Every process of a cell, by what it is."""
    for name, pid in cell.pids.items():
        if pid is not None:
            process = psutil.Process(pid)
            yield name, process
            for child in process.children(recursive=True):
                yield "worker", child


def processor_ms(cell: Cell, kind: str) -> float:
    """Of those that live; a dedicated worker takes its time along, so for those the figure is too small."""
    total = 0.0
    for name, process in processes(cell):
        with contextlib.suppress(psutil.NoSuchProcess):
            spent = process.cpu_times()
            total += spent.user + spent.system if name == kind else 0.0
    return total * 1e3


def one_round(cell: Cell, caller: Caller, count: int) -> dict[str, float]:
    before = {kind: processor_ms(cell, kind) for kind in ("gateway", "worker")}
    calls, startups = [], []
    for _ in range(count):
        begun = time.perf_counter()
        execution = caller.once()
        calls.append((time.perf_counter() - begun) * 1e3)
        startups.append(execution.timings.startup_us / 1e3)
    throughput = caller.many(4 * count)
    spent = {kind: (processor_ms(cell, kind) - start) / (5 * count) for kind, start in before.items()}
    return {
        "call_p50_ms": percentile(calls, 0.50),
        "call_p95_ms": percentile(calls, 0.95),
        "call_p99_ms": percentile(calls, 0.99),
        "startup_p50_ms": percentile(startups, 0.50),
        "startup_p95_ms": percentile(startups, 0.95),
        "throughput_per_s": throughput,
        "gateway_cpu_per_call_ms": spent["gateway"],
        "worker_cpu_per_call_ms": spent["worker"],
    }


def cell_pss_mb(cell: Cell) -> float:
    """Proportional set size of all its processes."""
    total = 0
    for _, process in processes(cell):
        with contextlib.suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 1e6


async def measure(language: Language, isolation: str, count: int, repeats: int) -> dict[str, float]:
    begun = time.perf_counter()
    async with running_cell(profile("bench", isolation=isolation)) as cell:
        caller = Caller(cell, language)
        await asyncio.to_thread(caller.once)
        first = time.perf_counter() - begun
        at_rest = await asyncio.to_thread(cell_pss_mb, cell)
        await asyncio.to_thread(lambda: [caller.once() for _ in range(WARM_UP)])
        figures = await rounds(repeats, lambda: one_round(cell, caller, count))
        caller.close()
    return {**median_of(figures), "cell_rss_mb": at_rest, "serve_to_first_execution_s": first}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--language", choices=["javascript", "python", "typescript"], default="javascript")
    parser.add_argument("--isolation", choices=["shared", "tenant", "dedicated"], default="shared")
    parser.add_argument("--n", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    figures = asyncio.run(measure(arguments.language, arguments.isolation, arguments.n, arguments.rounds))
    report(figures, arguments.json)


if __name__ == "__main__":
    main()
