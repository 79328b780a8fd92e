"""The isolates of sessions, between one program and the next."""

import threading
from collections import OrderedDict
from typing import Final, NamedTuple

from runtime.isolate.isolate import Isolate

MOST: Final = 32
MOST_BYTES: Final = 512 << 20
"""Of all isolates' memories together."""


class Kept(NamedTuple):
    """An isolate that has run `position` programs of its session, and how many bytes its memory has."""

    isolate: Isolate
    image: int
    position: int
    size: int


class KeptIsolates:
    """Bounded in number and bytes: those that were not used for longest go first. For any thread.

    That one is gone costs time and loses nothing: the gateway makes a session again from its record.
    """

    def __init__(self, most: int = MOST, most_bytes: int = MOST_BYTES) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._kept: OrderedDict[int, Kept] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def take(self, session: int) -> Kept | None:
        """A session's isolate, which is the caller's now."""
        with self._lock:
            return self._take(session)

    def keep(self, session: int, kept: Kept) -> None:
        """Keep a session's isolate until its next program."""
        with self._lock:
            gone = [self._take(session)]
            self._kept[session] = kept
            self._bytes += kept.size
            while len(self._kept) > self._most or self._bytes > self._most_bytes:
                gone.append(self._take(next(iter(self._kept))))
        for each in gone:
            if each is not None:
                each.isolate.close()

    def end(self, session: int) -> None:
        """Let go of a session's isolate, if it is there."""
        kept = self.take(session)
        if kept is not None:
            kept.isolate.close()

    def _take(self, session: int) -> Kept | None:
        kept = self._kept.pop(session, None)
        if kept is not None:
            self._bytes -= kept.size
        return kept
