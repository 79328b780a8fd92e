"""Looks for placeholders in a body that streams, across the borders of its pieces. Nothing of one passes on."""

import re
from collections.abc import Collection


class PlaceholderWatch:
    """Watches one body. Holds back only an end that may be the beginning of a placeholder, in any case."""

    def __init__(self, words: Collection[str]) -> None:
        self._words = tuple(word.lower().encode() for word in words)
        self._pattern = re.compile(b"|".join(re.escape(word) for word in self._words), re.IGNORECASE)
        self._tail = b""
        self.found = False

    def feed(self, data: bytes) -> bytes:
        """What may pass on now. `b""` is the end of the body. After `found`, nothing does."""
        whole = self._tail + data
        self._tail = b""
        self.found = self.found or self._pattern.search(whole) is not None
        if self.found:
            return b""
        held = self._held_back(whole) if data else 0
        self._tail = whole[len(whole) - held :]
        return whole[: len(whole) - held]

    def _held_back(self, data: bytes) -> int:
        lowered = data[-max(map(len, self._words)) :].lower()
        sizes = range(min(len(lowered), max(map(len, self._words)) - 1), 0, -1)
        return next((n for n in sizes if any(word.startswith(lowered[-n:]) for word in self._words)), 0)
