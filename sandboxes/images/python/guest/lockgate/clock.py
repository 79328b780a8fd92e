"""Time: the clock stands still between events, so sleeping is an event and measuring a resolution is not."""

import time
from types import SimpleNamespace

from lockgate.host import calls

_ADJUSTABLE = {"time": True}
_CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")


def sleep(seconds: float) -> None:
    """Wait, taking in events that arrive meanwhile."""
    if seconds < 0:
        raise ValueError("sleep length must be non-negative")
    deadline = time.monotonic_ns() + int(seconds * 1e9)
    while (left := deadline - time.monotonic_ns()) > 0:
        if not calls.wait(left):
            return


def get_clock_info(name: str) -> SimpleNamespace:
    """Describe a clock without asking for its resolution."""
    if name not in _CLOCKS:
        raise ValueError("unknown clock")
    adjustable = _ADJUSTABLE.get(name, False)
    return SimpleNamespace(implementation="lockgate", monotonic=not adjustable, adjustable=adjustable, resolution=1e-9)


def install() -> None:
    """Replace what would trap or was frozen by the snapshot."""
    time.sleep = sleep
    time.get_clock_info = get_clock_info
    time.process_time = time.thread_time = time.monotonic
    time.process_time_ns = time.thread_time_ns = time.monotonic_ns
