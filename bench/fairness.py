"""A quiet tenant beside a flooding one: `python -m bench.fairness`. Latency of the quiet one's calls, with and without.

The flooding tenant keeps a thousand executions waiting or running; each computes for about a millisecond.
"""

import argparse
import asyncio
import threading
import time
from typing import Self

import grpc

from bench.cell import bench_request, profile, rounds, running_cell
from bench.report import median_of, percentile, report
from runtime.rpc import runtime_pb2_grpc
from runtime.service.cell import Cell

FLOOD = 1_000
FLOOD_PROGRAM = "let x = 0; for (let i = 0; i < 20000; i++) x += i; x"
PAUSE_S = 0.01
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


class Flood:
    """Keeps FLOOD executions of one owner under way until it is told to stop."""

    def __init__(self, cell: Cell) -> None:
        self._channel = grpc.insecure_channel(cell.grpc_address, OWN_CONNECTION)
        self._execute = runtime_pb2_grpc.RuntimeStub(self._channel).Execute
        self._metadata = (("authorization", f"Bearer {cell.token}"),)
        self._request = bench_request(FLOOD_PROGRAM, "javascript", profile_name="fair", owner="flooding")
        self._places = threading.Semaphore(FLOOD)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._send)
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        for _ in range(FLOOD):
            self._places.acquire()
        self._channel.close()

    def _send(self) -> None:
        while not self._stop.is_set():
            self._places.acquire()
            self._execute.future(self._request, metadata=self._metadata).add_done_callback(self._done)
            self.sent += 1

    def _done(self, _: object) -> None:
        self._places.release()


def quiet_calls(cell: Cell, count: int) -> list[float]:
    request = bench_request("1 + 1", "javascript", profile_name="fair", owner="quiet")
    took = []
    with grpc.insecure_channel(cell.grpc_address, OWN_CONNECTION) as channel:
        execute = runtime_pb2_grpc.RuntimeStub(channel).Execute
        for _ in range(count):
            begun = time.perf_counter()
            execute(request, metadata=(("authorization", f"Bearer {cell.token}"),))
            took.append((time.perf_counter() - begun) * 1e3)
            time.sleep(PAUSE_S)
    return took


def one_round(cell: Cell, count: int) -> dict[str, float]:
    alone = quiet_calls(cell, count)
    begun = time.perf_counter()
    with Flood(cell) as flood:
        beside = quiet_calls(cell, count)
        sent, seconds = flood.sent, time.perf_counter() - begun
    return {
        "quiet_alone_p50_ms": percentile(alone, 0.50),
        "quiet_alone_p95_ms": percentile(alone, 0.95),
        "quiet_beside_flood_p50_ms": percentile(beside, 0.50),
        "quiet_beside_flood_p95_ms": percentile(beside, 0.95),
        "quiet_p95_ratio": percentile(beside, 0.95) / percentile(alone, 0.95),
        "flood_per_s": (sent - FLOOD) / seconds,
    }


async def measure(count: int, repeats: int) -> dict[str, float]:
    async with running_cell(profile("fair", isolation="tenant")) as cell:
        return median_of(await rounds(repeats, lambda: one_round(cell, count)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    report(asyncio.run(measure(arguments.n, arguments.rounds)), arguments.json)


if __name__ == "__main__":
    main()
