"""Many executions, limits and crashes among them: what has grown at the end?

Sixteen are in flight, in workers that are shared, of four tenants, and dedicated. Of a thousand, 970 compute (850 in
JavaScript, 50 in TypeScript, 70 in Python), 20 run into a limit of one kind or another, 10 end with an error; once in
two thousand a worker is killed with what runs in it. Memory, descriptors, processes and threads of the whole cell,
and files in its temporary directory, are taken after the first tenth and at the end. Each time the shared workers have
just met every kind of program a hundred times, so that one forked a moment ago is as worn as the others, and tenants'
workers and idle connections have gone. Needs root: nobody else may read the memory of workers.
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
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

import grpc
import psutil

from bench.caller import IN_FLIGHT, Caller
from bench.cell import bench_request, profile, running_cell
from bench.processes import cell_processes, pss_mb, total
from bench.result import Chart, Round
from bench.run import counted, finish, options, parse, progress
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell
from sandboxes.profile import Isolation, Language

REST_S = 65.0  # tenants' workers go after 30 s without work, connections to the egress proxy after 60
PARTS = 10
KILL_EVERY = 2_000
MOST_WEAR = 100
STAYING = ("gateway", "egress", "zygote")
ISOLATIONS: dict[Isolation, int] = {"shared": 70, "tenant": 27, "dedicated": 3}
LIMITS = {
    "cpu_ms": 80,
    "wall_ms": 10_000,
    "memory_bytes": "64MiB",
    "log_lines": 10,
    "result_bytes": 1_000,
    "host_calls": 5,
}


FETCH = "await fetch('https://a.test').catch((error) => 0)"
FETCHES = "for (let n = 0; n < 9; n++) await fetch('https://a.test').catch((e) => { if (n > 5) throw e })"


class Kind(NamedTuple):
    """How many of a thousand, and how they end; any may also be lost with a killed worker."""

    share: int
    language: Language
    code: str
    ending: int = pb.STATUS_SUCCEEDED
    wall_ms: int = 0


MIX = (
    Kind(850, "javascript", "const a = inputs.map((x) => x * 2); console.log(a.length); a"),
    Kind(50, "typescript", "const a: number[] = inputs.map((x: number): number => x * 2); a"),
    Kind(70, "python", "import json\nprint(len(inputs))\n[x * 2 for x in inputs]"),
    Kind(3, "javascript", "for (;;);", pb.STATUS_LIMIT_CPU),
    Kind(2, "python", "while True: pass", pb.STATUS_LIMIT_CPU),
    Kind(2, "javascript", "await new Promise(() => setTimeout(() => 0, 60000))", pb.STATUS_LIMIT_WALL, 200),
    Kind(1, "python", "import asyncio\nawait asyncio.sleep(60)", pb.STATUS_LIMIT_WALL, 200),
    Kind(2, "javascript", "const a = []; for (;;) a.push(new Uint8Array(4 << 20))", pb.STATUS_LIMIT_MEMORY),
    Kind(1, "python", "a = []\nwhile True: a.append(bytes(1000000))", pb.STATUS_LIMIT_MEMORY),
    Kind(3, "javascript", "for (;;) console.log('x')", pb.STATUS_LIMIT_OUTPUT),
    Kind(2, "python", "while True: print('x')", pb.STATUS_LIMIT_OUTPUT),
    Kind(2, "javascript", "'x'.repeat(10000)", pb.STATUS_LIMIT_RESULT),
    Kind(2, "javascript", "function f(n) { return f(n + 1) + 1 }; f(0)", pb.STATUS_LIMIT_STACK),
    Kind(2, "javascript", FETCHES, pb.STATUS_LIMIT_HOST_CALLS),
    Kind(5, "javascript", "throw new Error('x')", pb.STATUS_PROGRAM_ERROR),
    Kind(3, "python", "1 / 0", pb.STATUS_PROGRAM_ERROR),
)


class Soak:
    """Sends executions to a cell and counts how they end."""

    def __init__(self, cell: Cell, caller: Caller) -> None:
        self._cell = cell
        self._caller = caller
        self._places = threading.Semaphore(IN_FLIGHT)
        self._random = random.Random(1)
        self._sent = 0
        self.endings: Counter[str] = Counter()
        self.wrong: Counter[str] = Counter()

    def send(self, count: int) -> None:
        """So many executions of the mix; returns when all have ended."""
        for _ in self._in_flight(count):
            self._sent += 1
            if self._sent % KILL_EVERY == KILL_EVERY // 2:
                self._kill_a_worker()
            kind = self._random.choices(MIX, [kind.share for kind in MIX])[0]
            self._start(kind, self._random.choices(list(ISOLATIONS), list(ISOLATIONS.values()))[0])

    def wear(self, times: int) -> None:
        """Every kind so often in the shared workers, in a random order."""
        kinds = list(MIX) * times
        self._random.shuffle(kinds)
        for number in self._in_flight(len(kinds)):
            self._start(kinds[number], "shared")

    def _in_flight(self, count: int) -> Iterator[int]:
        """The numbers up to `count`, each when there is room for one more; ends when none is under way."""
        for number in range(count):
            self._places.acquire()
            yield number
        for _ in range(IN_FLIGHT):
            self._places.acquire()
        self._places.release(IN_FLIGHT)

    def _start(self, kind: Kind, isolation: Isolation) -> None:
        owner = f"owner-{self._random.randrange(4)}"
        request = bench_request(kind.code, kind.language, profile_name=isolation, owner=owner, inputs=[1, 2, 3])
        if kind.wall_ms:
            request.limits["wall_ms"] = kind.wall_ms
        self._caller.future(request).add_done_callback(partial(self._done, kind))

    def _done(self, kind: Kind, reply: "grpc.Future[pb.ExecuteResponse]") -> None:
        with suppress(grpc.RpcError, grpc.FutureCancelledError):
            status = reply.result().execution.status
            self.endings[pb.Status.Name(status).removeprefix("STATUS_").lower()] += 1
            if status not in {kind.ending, pb.STATUS_LOST}:
                self.wrong[f"{pb.Status.Name(status)} of {kind.code!r}"] += 1
        if (error := reply.exception()) is not None:
            self.wrong[str(error)] += 1
        self._places.release()

    def _kill_a_worker(self) -> None:
        workers = [process for name, process in cell_processes(self._cell) if name == "worker"]
        with suppress(psutil.NoSuchProcess):
            self._random.choice(workers).send_signal(signal.SIGKILL)


def state_of(cell: Cell) -> dict[str, float]:
    """What a cell has of everything that could leak. Threads are those of the processes that stay."""
    return {
        "pss_mb": pss_mb(cell),
        "descriptors": total(cell, lambda process: float(process.num_fds())),
        "processes": float(len(cell_processes(cell))),
        "threads": float(sum(threads(cell, *STAYING))),
        "temporary_files": float(sum(1 for _ in Path(tempfile.gettempdir()).rglob("*"))),
    }


def threads(cell: Cell, *kinds: str) -> list[int]:
    """Of each process of these kinds."""
    found = []
    for kind, process in cell_processes(cell):
        if kind in kinds:
            with suppress(psutil.NoSuchProcess):
                found.append(process.num_threads())
    return found


def memory_by_kind(cell: Cell) -> dict[str, float]:
    found = dict.fromkeys((*STAYING, "worker"), 0.0)
    for kind, process in cell_processes(cell):
        with suppress(psutil.NoSuchProcess):
            found[kind] += float(process.memory_full_info().pss) / 1e6
    return found


def at_rest(cell: Cell, caller: Caller, soak: Soak, wear: int) -> dict[str, float]:
    soak.wear(wear)
    progress(f"soak: waiting {REST_S:g} s for tenants' workers and idle connections to go")
    time.sleep(REST_S)
    caller.call(bench_request(FETCH, "javascript", profile_name="shared"))  # closes the idle ones, and leaves one
    time.sleep(1)
    return state_of(cell)


def one_round(cell: Cell, caller: Caller, count: int) -> Round:
    soak, measured, before = Soak(cell, caller), Round(), dict[str, float]()
    wear = max(2, min(MOST_WEAR, count // 100))
    seconds = 0.0
    for part in range(1, PARTS + 1):
        begun = time.perf_counter()
        soak.send(count // PARTS)
        seconds += time.perf_counter() - begun
        done = part * count // PARTS
        for kind, memory in memory_by_kind(cell).items():
            measured.series.setdefault(f"{kind}_pss_mb", []).append((float(done), memory))
        progress(f"soak: {done:,} of {count:,} after {seconds:.0f} s")
        if part == 1:
            before = at_rest(cell, caller, soak, wear)
    after = at_rest(cell, caller, soak, wear)
    for text, times in soak.wrong.most_common(5):
        progress(f"soak: {times} times unexpected: {text}")
    measured.figures = figures(before, after) | {
        "worker_threads_most_count": float(max(threads(cell, "worker"))),
        "executions_per_s": count / seconds,
        "unexpected_endings_count": float(sum(soak.wrong.values())),
        **{f"ended_{name}_count": float(number) for name, number in sorted(soak.endings.items())},
    }
    return measured


def figures(before: dict[str, float], after: dict[str, float]) -> dict[str, float]:
    """What was there before and after, and by how much it has grown."""
    found: dict[str, float] = {}
    for name, value in before.items():
        base, unit = (name.removesuffix("_mb"), "mb") if name.endswith("_mb") else (name, "count")
        found |= {f"{base}_before_{unit}": value, f"{base}_after_{unit}": after[name]}
        if unit == "count":
            found[f"{base}_leaked_count"] = max(0.0, after[name] - value)
    return found | {"pss_growth_percent": 100 * (after["pss_mb"] / before["pss_mb"] - 1)}


@contextmanager
def own_temporary_directory() -> Iterator[None]:
    """For this process and the cell: what it leaves there can be told from what others do."""
    with tempfile.TemporaryDirectory(prefix="lockgate-soak-") as directory:
        os.environ["TMPDIR"], tempfile.tempdir = directory, None
        try:
            yield
        finally:
            del os.environ["TMPDIR"]
            tempfile.tempdir = None


async def measure(arguments: argparse.Namespace) -> list[Round]:
    profiles = [profile(name, isolation=name, limits=LIMITS) for name in ISOLATIONS]
    found = []
    for _ in counted("soak", arguments.rounds):
        with own_temporary_directory():
            async with running_cell(*profiles) as cell:
                with Caller(cell.grpc_address, cell.token) as caller:
                    found.append(await asyncio.to_thread(one_round, cell, caller, arguments.n))
    return found


LEAKS = [f"{name}_leaked_count" for name in ("descriptors", "processes", "threads", "temporary_files")]
CHARTS = [
    Chart(
        kind="growth",
        title="Memory of the cell under load (as many workers as there happen to be)",
        names=[f"{kind}_pss_mb" for kind in (*STAYING, "worker")],
        unit="MB of PSS",
        along="executions",
    ),
    Chart(kind="bars", title="Memory of the cell at rest, PSS", names=["pss_before_mb", "pss_after_mb"], unit="MB"),
    Chart(kind="bars", title="Growth of PSS at rest", names=["pss_growth_percent"], unit="%"),
    Chart(kind="bars", title="More at the end than after warming up", names=LEAKS, unit="count"),
]


def main() -> None:
    arguments = parse(options(__doc__, rounds=1, n=100_000, n_means="executions"))
    if os.geteuid() != 0:
        sys.exit("bench.soak: the memory of locked-down workers can be read by root only")
    finish("soak", arguments, asyncio.run(measure(arguments)), CHARTS)


if __name__ == "__main__":
    main()
