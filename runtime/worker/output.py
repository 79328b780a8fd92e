"""What a worker writes to its standard error, on its way to the operator: bounded, cut into lines, made harmless."""

import asyncio
import logging
from typing import Final

log = logging.getLogger(__name__)

MOST_BYTES: Final = 64 << 10
"""Of one worker in all its life: enough for a crash's story, too little to fill a disk."""

_MOST_LINE: Final = 1_000


class WorkerOutput(asyncio.Protocol):
    """The reading end of the pipe that is a worker's standard error. After `most` bytes it is closed.

    A worker that goes on writing gets EPIPE. Control characters are replaced: a log is read in terminals.
    """

    def __init__(self, pid: int, most: int = MOST_BYTES) -> None:
        self._pid = pid
        self._left = most
        self._line = b""
        self._transport: asyncio.ReadTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102 - told by Protocol
        assert isinstance(transport, asyncio.ReadTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: D102
        taken = data[: self._left]
        self._left -= len(taken)
        *lines, self._line = (self._line + taken).split(b"\n")
        for line in lines:
            self._say(line)
        if self._left == 0 and self._transport is not None:
            log.warning("worker %d wrote too much to its standard error; the rest is not read", self._pid)
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102, ARG002
        if self._line:
            self._say(self._line)
            self._line = b""

    def _say(self, line: bytes) -> None:
        text = printable(line[:_MOST_LINE])
        if text:
            log.warning("worker %d: %s", self._pid, text)


def printable(line: bytes) -> str:
    """One line's text with everything that could move a cursor replaced."""
    text = line.decode(errors="replace").rstrip()
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
