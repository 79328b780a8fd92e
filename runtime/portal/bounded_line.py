"""Lines of a byte stream, each bounded: of one that is too long its beginning and its end are kept."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

KEPT: Final = 512


@dataclass(frozen=True, slots=True)
class LongLine:
    """A line that was not kept. `head` and `tail` have at most `KEPT` bytes each."""

    head: bytes
    tail: bytes
    size: int


class Lines:
    """Splits at line feeds. Holds no more than `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""
        self._tail = b""

    @property
    def skipping(self) -> bool:
        """Whether the line that has begun is too long already."""
        return self._size > self._most

    def feed(self, data: bytes) -> Iterator[bytes | LongLine]:
        """The lines that are whole now, without their ends."""
        *ends, rest = data.split(b"\n")
        for end in ends:
            self._add(end)
            yield self._take()
        self._add(rest)

    def _add(self, part: bytes) -> None:
        if not part:
            return
        self._size += len(part)
        if not self.skipping:
            self._parts.append(part)
            return
        if self._parts:
            kept = b"".join(self._parts)
            self._head, self._tail = kept[:KEPT], kept[-KEPT:]
            self._parts.clear()
        if len(self._head) < KEPT:
            self._head = (self._head + part)[:KEPT]
        self._tail = (self._tail + part[-KEPT:])[-KEPT:]

    def _take(self) -> bytes | LongLine:
        whole = LongLine(self._head, self._tail, self._size) if self.skipping else b"".join(self._parts)
        self._parts.clear()
        self._size, self._head, self._tail = 0, b"", b""
        return whole
