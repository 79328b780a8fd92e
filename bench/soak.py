"""Many executions, limits and crashes among them: `python -m bench.soak --n 100000`. What has grown at the end?

Sixteen are in flight. Of a thousand: 880 JavaScript and 100 Python programs that compute, 10 that a limit ends,
8 that throw, 2 whose worker is killed. Memory, descriptors, processes and threads of the whole cell are taken
after the first tenth and at the end.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import grpc

from bench.cell import bench_request, profile, running_cell
from bench.report import report
from bench.startup import cell_pss_mb, processes
from runtime.rpc import runtime_pb2 as pb
from runtime.rpc import runtime_pb2_grpc
from runtime.service.cell import Cell

IN_FLIGHT = 16
PROFILE = profile("soak", isolation="shared", limits={"cpu_ms": 50, "memory_bytes": "64MiB", "log_lines": 10})
MIX = [
    (880, "javascript", "const a = inputs.map((x) => x * 2); console.log(a.length); a"),
    (100, "python", "import json\nprint(len(inputs))\n[x * 2 for x in inputs]"),
    (3, "javascript", "for (;;);"),
    (2, "python", "while True: pass"),
    (2, "javascript", "const a = []; for (;;) a.push(new Array(100000).fill(1))"),
    (3, "javascript", "for (;;) console.log('x')"),
    (5, "javascript", "throw new Error('x')"),
    (3, "python", "1 / 0"),
    (2, "kill", ""),
]


def state_of(cell: Cell) -> dict[str, float]:
    """Memory, descriptors, processes and threads of the cell, and files in the temporary directory."""
    found = [process for _, process in processes(cell)]
    return {
        "pss_mb": cell_pss_mb(cell),
        "descriptors": float(sum(process.num_fds() for process in found)),
        "processes": float(len(found)),
        "threads": float(sum(process.num_threads() for process in found)),
        "temporary_files": float(len(list(Path(tempfile.gettempdir()).iterdir()))),
    }


def kill_a_worker(cell: Cell) -> None:
    """The youngest process of the cell is a worker: the zygote is older."""
    workers = [process for name, process in processes(cell) if name == "worker"][1:]
    if workers:
        os.kill(random.choice(workers).pid, signal.SIGKILL)


def soak(cell: Cell, count: int, seen: Counter[str]) -> None:
    places = threading.Semaphore(IN_FLIGHT)
    kinds = [(language, code) for share, language, code in MIX for _ in range(share)]
    requests = {
        kind: bench_request(kind[1], kind[0], profile_name="soak", inputs=[1, 2, 3])  # type: ignore[arg-type]
        for kind in set(kinds)
        if kind[0] != "kill"
    }
    metadata = (("authorization", f"Bearer {cell.token}"),)

    def done(reply: "grpc.Future[pb.ExecuteResponse]") -> None:
        seen[pb.Status.Name(reply.result().execution.status)] += 1
        places.release()

    with grpc.insecure_channel(cell.grpc_address) as channel:
        execute = runtime_pb2_grpc.RuntimeStub(channel).Execute
        for _ in range(count):
            kind = random.choice(kinds)
            if kind[0] == "kill":
                kill_a_worker(cell)
                continue
            places.acquire()
            execute.future(requests[kind], metadata=metadata).add_done_callback(done)
        for _ in range(IN_FLIGHT):
            places.acquire()


async def measure(count: int) -> dict[str, float]:
    random.seed(1)
    seen: Counter[str] = Counter()
    async with running_cell(PROFILE) as cell:
        await asyncio.to_thread(soak, cell, count // 10, seen)
        await asyncio.sleep(5)
        before = await asyncio.to_thread(state_of, cell)
        begun = time.perf_counter()
        for part in range(9):
            await asyncio.to_thread(soak, cell, count // 10, seen)
            print(f"soak: {(part + 2) * 10} %", file=sys.stderr, flush=True)
        seconds = time.perf_counter() - begun
        await asyncio.sleep(5)
        after = await asyncio.to_thread(state_of, cell)
    figures = {f"{name}_before": value for name, value in before.items()}
    figures |= {f"{name}_after": value for name, value in after.items()}
    figures["pss_growth_percent"] = 100 * (after["pss_mb"] / before["pss_mb"] - 1)
    figures["executions_per_s"] = 0.9 * count / seconds
    return {**figures, **{f"{name.lower()}_count": float(number) for name, number in seen.items()}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    report(asyncio.run(measure(arguments.n)), arguments.json)


if __name__ == "__main__":
    main()
