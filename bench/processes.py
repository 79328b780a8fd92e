"""The processes of a cell: which they are, and what they use. A process may end while it is looked at."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Self

import psutil

from runtime.service.cell import Cell

_LOOK_S = 0.5


def cell_processes(cell: Cell) -> list[tuple[str, psutil.Process]]:
    """Every process of a cell with what it is: egress, gateway, zygote, or worker."""
    found: list[tuple[str, psutil.Process]] = []
    for name, pid in cell.pids.items():
        if pid is not None:
            with suppress(psutil.NoSuchProcess):
                process = psutil.Process(pid)
                found.append((name, process))
                found += _children(process)
    return found


def _children(process: psutil.Process) -> Iterator[tuple[str, psutil.Process]]:
    """Below the gateway stands the zygote, and below that the workers."""
    for child in process.children():
        yield "zygote", child
        with suppress(psutil.NoSuchProcess):
            yield from (("worker", worker) for worker in child.children(recursive=True))


class CpuMeter:
    """`with CpuMeter(cell) as meter:` adds up the processor time of a cell's processes.

    It looks now and then: a process that ends takes along what it used since it was last seen.
    """

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._first: dict[psutil.Process, float] = {}
        self._last: dict[psutil.Process, tuple[str, float]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)

    def __enter__(self) -> Self:
        self._look()
        self._first = {process: ms for process, (_, ms) in self._last.items()}
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._look()

    def ms(self, kind: str) -> float:
        """Of the processes of this kind, inside the block."""
        return sum(ms - self._first.get(process, 0.0) for process, (of, ms) in self._last.items() if of == kind)

    def _look_on(self) -> None:
        while not self._stop.wait(_LOOK_S):
            self._look()

    def _look(self) -> None:
        for kind, process in cell_processes(self._cell):
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                self._last[process] = (kind, float(times.user + times.system) * 1e3)


def pss_mb(cell: Cell) -> float:
    """Proportional set size of all processes. Raises psutil.AccessDenied but to root: workers are not traceable."""
    return total(cell, lambda process: float(process.memory_full_info().pss) / 1e6)


def total(cell: Cell, of: Callable[[psutil.Process], float]) -> float:
    """The sum over all processes that live."""
    found = 0.0
    for _, process in cell_processes(cell):
        with suppress(psutil.NoSuchProcess):
            found += of(process)
    return found
