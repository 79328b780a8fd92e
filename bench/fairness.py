"""A quiet tenant beside a flooding one: `python -m bench.fairness`. Latency of the quiet one's calls, with and without.

The flooding tenant (bench/flood.py) keeps a thousand executions waiting or running; each computes for a millisecond.
"""

import argparse
import asyncio
import subprocess
import sys
import time

import grpc

from bench.cell import bench_request, profile, rounds, running_cell
from bench.report import median_of, percentile, report
from runtime.rpc import runtime_pb2_grpc
from runtime.service.cell import Cell

PAUSE_S = 0.01
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


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
    command = [sys.executable, "-m", "bench.flood", cell.grpc_address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as flood:
        assert flood.stdin is not None
        assert flood.stdout is not None
        begun = time.perf_counter()
        print(cell.token, file=flood.stdin, flush=True)
        flood.stdout.readline()
        beside = quiet_calls(cell, count)
        flood.stdin.close()
        sent = int(flood.stdout.readline())
        seconds = time.perf_counter() - begun
    return {
        "quiet_alone_p50_ms": percentile(alone, 0.50),
        "quiet_alone_p95_ms": percentile(alone, 0.95),
        "quiet_beside_flood_p50_ms": percentile(beside, 0.50),
        "quiet_beside_flood_p95_ms": percentile(beside, 0.95),
        "quiet_p95_ratio": percentile(beside, 0.95) / percentile(alone, 0.95),
        "flood_per_s": sent / seconds,
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
