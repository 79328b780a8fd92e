"""Paused executions: how soon they go on when somebody decides, what they take, and many of them at once."""

import itertools
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import grpc
import psutil

from bench.caller import IN_FLIGHT, Caller
from bench.durable_cell import asking
from bench.egress import pss
from bench.processes import cell_processes
from bench.receiver import Receiver
from bench.result import Round
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell

JOURNALS: Final = (1, 10, 100, 1_000)
_DECIDED: Final = 100
_numbers = itertools.count()

type _Paused = tuple[pb.Execution, str]
"""An execution, and the name of the call it waits with."""


def resuming(caller: Caller, receiver: Receiver, count: int, longest: int) -> Round:
    """By the number of calls that were made before, `longest` at most; fewer executions where there are many."""
    measured = Round()
    lengths = [length for length in JOURNALS if length <= longest]
    _resumed(caller, receiver, _pause(caller, 1))
    for length in lengths:
        many = max(2, min(count, 10 * count // length))
        found = [_resumed(caller, receiver, _pause(caller, length)) for _ in range(many)]
        measured.sample(f"resume_{length}_receipt_ms", [receipt for receipt, _ in found])
        measured.sample(f"resume_{length}_reply_ms", [reply for _, reply in found])
    for kind in ("receipt", "reply"):
        points = [(float(length), measured.figures[f"resume_{length}_{kind}_p50_ms"]) for length in lengths]
        measured.series[f"resume_{kind}_ms"] = points
    return measured


def stored(caller: Caller, label: str, size: Callable[[], int], count: int) -> Round:
    """Bytes in the database of one with ten calls behind it."""
    before = size()
    for _ in range(count):
        _pause(caller, 10)
    return Round(figures={f"{label}_paused_kb": (size() - before) / count / 1e3})


def holding(cell: Cell, caller: Caller, receiver: Receiver, count: int) -> Round:
    """So many at once; then some of them, anywhere among them, are decided."""
    _hold(caller, max(IN_FLIGHT, count // 20))  # what a gateway under load takes is no paused execution's
    gateway = cell.pids["gateway"]
    assert gateway is not None
    processes, memory = len(cell_processes(cell)), pss(gateway)
    begun = time.perf_counter()
    paused = _hold(caller, count)
    per_s = count / (time.perf_counter() - begun)
    figures = {
        "held_pause_per_s": per_s,
        "held_processes_added_count": float(len(cell_processes(cell)) - processes),
        "held_worker_threads_most_count": float(_most_threads(cell)),
        "held_gateway_before_pss_mb": memory,
        "held_gateway_after_pss_mb": pss(gateway),
    }
    figures["held_gateway_kb"] = (figures["held_gateway_after_pss_mb"] - memory) * 1e3 / count
    measured = Round(figures=figures)
    decided = random.sample(paused, min(_DECIDED, count))
    found = [_resumed(caller, receiver, one) for one in decided]
    measured.sample("held_resume_receipt_ms", [receipt for receipt, _ in found])
    measured.sample("held_resume_reply_ms", [reply for _, reply in found])
    return measured


def _pause(caller: Caller, calls: int) -> _Paused:
    name = f"decided-{next(_numbers)}"
    return caller.call(asking(name, calls)), name


def _resumed(caller: Caller, receiver: Receiver, paused: _Paused) -> tuple[float, float]:
    """Milliseconds from the decision to the call's receipt, and to the execution's end at its client."""
    execution, name = paused
    approval = caller.asked(execution)
    decided = time.perf_counter()
    caller.approve(approval)
    receiver.wait_for({name})
    caller.ended(execution.id)
    return (receiver.arrived[name] - decided) * 1e3, (time.perf_counter() - decided) * 1e3


def _hold(caller: Caller, count: int) -> list[_Paused]:
    """Made over the API, IN_FLIGHT at a time, with nothing before the call they wait with."""
    places = threading.Semaphore(IN_FLIGHT)
    begun: list[tuple[grpc.Future[pb.ExecuteResponse], str]] = []
    for _ in range(count):
        places.acquire()
        name = f"decided-{next(_numbers)}"
        begun.append((caller.future(asking(name, 0)), name))
        begun[-1][0].add_done_callback(lambda _: places.release())
    return [(reply.result().execution, name) for reply, name in begun]


def _most_threads(cell: Cell) -> int:
    """Of any worker: every guest has one."""
    most = 0
    for kind, process in cell_processes(cell):
        with suppress(psutil.NoSuchProcess):
            most = max(most, process.num_threads() if kind == "worker" else 0)
    return most
