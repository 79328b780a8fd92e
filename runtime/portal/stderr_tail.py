"""The last words a child process wrote to its standard error, for the reason why it is down."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Final

from runtime.portal.mcp_inflow import Pace

MAX_BYTES: Final = 4 << 10
_READ: Final = 64 << 10
_BURST: Final = 4 << 20
_A_SECOND: Final = 8 << 20
"""Bytes. A child that writes more waits; one that writes without end would keep the event loop busy otherwise."""


class StderrTail:
    """Drains a pipe as fast as it fills, up to a bound, and keeps its end."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> None:
        """Add what the child wrote."""
        self._kept = data[-MAX_BYTES:] if len(data) >= MAX_BYTES else (self._kept + data)[-MAX_BYTES:]

    def last_line(self) -> str:
        """The last line with anything in it, printable; empty if there is none."""
        lines = (line.strip() for line in reversed(self._kept.decode("utf-8", "replace").splitlines()))
        line = next((line for line in lines if line), "")
        return "".join(c if c.isprintable() else " " for c in line)[:300]


@asynccontextmanager
async def stderr_tail() -> AsyncIterator[tuple[StderrTail, IO[str]]]:
    """A tail, and the file to hand to the child as its standard error."""
    read_end, write_end = os.pipe()
    writer = os.fdopen(write_end, "w", encoding="utf-8", errors="replace")
    os.set_blocking(read_end, False)
    drain = _Drain(read_end)
    drain.start()
    try:
        yield drain.tail, writer
    finally:
        writer.close()
        drain.stop()
        os.close(read_end)


class _Drain:
    """Reads a pipe's end whenever there is something, and its budget has room for it."""

    def __init__(self, descriptor: int) -> None:
        self.tail = StderrTail()
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(burst=_BURST, per_s=_A_SECOND)
        self._again: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """From now on."""
        self._loop.add_reader(self._descriptor, self._read)

    def stop(self) -> None:
        """Read what there is, and no more."""
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._descriptor)
        self._take()

    def _read(self) -> None:
        taken = self._take()
        wait = self._pace.spend(taken, time.monotonic()) if taken else 0.0
        if taken and not wait:
            return
        self._loop.remove_reader(self._descriptor)
        if wait:
            self._again = self._loop.call_later(wait, self.start)

    def _take(self) -> int:
        """How many bytes there were; 0 at the end."""
        try:
            data = os.read(self._descriptor, _READ)
        except BlockingIOError:
            return 1
        except OSError:
            return 0
        self.tail.feed(data)
        return len(data)
