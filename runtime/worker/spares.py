"""Isolates prepared ahead of need, off the serving path; each is used once."""

from collections import deque
from typing import Final

from runtime.isolate.images import Image
from runtime.isolate.isolate import Isolate

LEAST: Final = 2
MOST: Final = 8
_HITS_BEFORE_FEWER: Final = 2_000


class Spares:
    """The spares of one image: more are kept after one was missing, fewer when none has been for long."""

    def __init__(self, image: Image) -> None:
        first = image.isolate()
        first.warm()
        self.engine = image.engine
        self._image = image
        self._ready = deque([first])
        self._wanted = LEAST
        self._hits = 0

    def take(self) -> Isolate:
        """A warmed spare, made on the spot if there is none: a program must not be able to tell."""
        try:
            isolate = self._ready.pop()  # the newest: its pages are still in the processor's cache
        except IndexError:
            self._wanted, self._hits = min(self._wanted + 1, MOST), 0
            isolate = self._image.isolate()
            isolate.warm()
            return isolate
        self._hits += 1
        if self._hits >= _HITS_BEFORE_FEWER:
            self._wanted, self._hits = max(self._wanted - 1, LEAST), 0
        return isolate

    def refill_one(self) -> bool:
        """Prepare one if it is missing; whether another is."""
        if len(self._ready) < self._wanted:
            isolate = self._image.isolate()
            isolate.warm()
            self._ready.append(isolate)
        return len(self._ready) < self._wanted
