"""The last words a child process wrote to its standard error, for the reason why it is down."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import IO, Final

MAX_BYTES: Final = 4 << 10


class StderrTail:
    """Drains a pipe as fast as it fills and keeps its end."""

    def __init__(self) -> None:
        self._kept = b""

    def feed(self, data: bytes) -> None:
        """Add what the child wrote."""
        self._kept = (self._kept + data)[-MAX_BYTES:]

    def last_line(self) -> str:
        """The last line with anything in it, printable; empty if there is none."""
        lines = (line.strip() for line in reversed(self._kept.decode("utf-8", "replace").splitlines()))
        line = next((line for line in lines if line), "")
        return "".join(c if c.isprintable() else " " for c in line)[:300]


@asynccontextmanager
async def stderr_tail() -> AsyncIterator[tuple[StderrTail, IO[str]]]:
    """A tail, and the file to hand to the child as its standard error."""
    tail = StderrTail()
    read_end, write_end = os.pipe()
    writer = os.fdopen(write_end, "w", encoding="utf-8", errors="replace")
    loop = asyncio.get_running_loop()
    os.set_blocking(read_end, False)
    loop.add_reader(read_end, _drain, read_end, tail, loop)
    try:
        yield tail, writer
    finally:
        writer.close()
        _drain(read_end, tail, loop)
        loop.remove_reader(read_end)
        os.close(read_end)


def _drain(descriptor: int, tail: StderrTail, loop: asyncio.AbstractEventLoop) -> None:
    try:
        data = os.read(descriptor, 64 << 10)
    except OSError:
        return
    if not data:
        loop.remove_reader(descriptor)
        return
    tail.feed(data)
