"""A fresh isolate per execution over real gRPC: `python -m bench.startup --language javascript --n 1000`.

A whole cell runs as its users run it, egress proxy included. One round is N calls one after another, then 4 N
calls with 16 in flight; every figure is the median of the rounds. `startup` is what the reply says of the time
between a request's arrival in the worker and the program's first instruction.
"""

import argparse
import asyncio
import tempfile
import threading
import time
from pathlib import Path

import grpc
import psutil

from bench.report import median_of, percentile, report
from runtime.client import Context, Language, execute_request
from runtime.rpc import runtime_pb2, runtime_pb2_grpc
from runtime.service.cell import Cell, CellOptions
from sandboxes.state import open_state

IN_FLIGHT = 16
WARM_UP = 100
PROGRAM = {"javascript": "1 + 1", "python": "1 + 1"}


class Caller:
    """A synchronous client: an asynchronous one would take more of the two cores."""

    def __init__(self, address: str, token: str, language: Language) -> None:
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._channel = grpc.insecure_channel(address)
        self._execute = runtime_pb2_grpc.RuntimeStub(self._channel).Execute
        context = Context(actor="bench", owner="bench", environment="dev", reason="bench.startup")
        self._request = execute_request(PROGRAM[language], profile="standard", context=context, language=language)

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


def one_round(caller: Caller, count: int) -> dict[str, float]:
    calls, startups = [], []
    for _ in range(count):
        begun = time.perf_counter()
        execution = caller.once()
        calls.append((time.perf_counter() - begun) * 1e3)
        startups.append(execution.timings.startup_us / 1e3)
    return {
        "call_p50_ms": percentile(calls, 0.50),
        "call_p95_ms": percentile(calls, 0.95),
        "call_p99_ms": percentile(calls, 0.99),
        "startup_p50_ms": percentile(startups, 0.50),
        "startup_p95_ms": percentile(startups, 0.95),
        "throughput_per_s": caller.many(4 * count),
    }


def cell_pss_mb(pids: list[int]) -> float:
    """Proportional set size of the processes and all their children."""
    processes = {p for pid in pids for p in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]}
    return float(sum(process.memory_full_info().pss for process in processes)) / 1e6


async def measure(language: Language, count: int, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as scratch:
        options = CellOptions(state=open_state(Path(scratch, "state")), any_port=True)
        async with Cell(options) as cell:
            pids = [pid for pid in cell.pids.values() if pid is not None]
            at_rest = await asyncio.to_thread(cell_pss_mb, pids)
            caller = Caller(cell.grpc_address, cell.token, language)
            await asyncio.to_thread(lambda: [caller.once() for _ in range(WARM_UP)])
            figures = [await asyncio.to_thread(one_round, caller, count) for _ in range(rounds)]
            caller.close()
    return {**median_of(figures), "cell_rss_mb": at_rest}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--language", choices=sorted(PROGRAM), default="javascript")
    parser.add_argument("--n", type=int, default=1_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    report(asyncio.run(measure(arguments.language, arguments.n, arguments.rounds)), arguments.json)


if __name__ == "__main__":
    main()
