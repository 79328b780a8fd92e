"""Takes secrets out of what comes back: plain occurrences, in headers and in streams, across chunk borders."""

import re
from collections.abc import Iterable


class Redactor:
    """Replaces each needle by `[redacted:<name>]`. One for all, it keeps no state between calls."""

    def __init__(self, needles: Iterable[tuple[str, bytes]]) -> None:
        """`needles`: (secret's name, bytes to look for); the longest match wins."""
        self._names: dict[bytes, str] = {value: name for name, value in needles if value}
        ordered = sorted(self._names, key=len, reverse=True)
        self._pattern = re.compile(b"|".join(re.escape(value) for value in ordered)) if ordered else None
        self._needles = tuple(ordered)

    def replace(self, data: bytes) -> tuple[bytes, int]:
        """The data without the needles, and how many were taken out."""
        if self._pattern is None:
            return data, 0
        return self._pattern.subn(self._marker, data)

    def held_back(self, data: bytes) -> int:
        """How many bytes at the end of `data` may be the beginning of a needle that goes on."""
        longest = 0
        for needle in self._needles:
            for size in range(min(len(needle) - 1, len(data)), longest, -1):
                if needle.startswith(data[-size:]):
                    longest = size
                    break
        return longest

    def settled(self, data: bytes) -> int:
        """How many bytes may pass on: up to a suffix that may begin a needle, but never inside a complete one."""
        cut = len(data) - self.held_back(data)
        for match in self._pattern.finditer(data) if self._pattern else ():
            if match.start() < cut < match.end():
                cut = len(data) - self.held_back(data[match.end() :])
        return cut

    def _marker(self, match: re.Match[bytes]) -> bytes:
        return f"[redacted:{self._names[match[0]]}]".encode()


class StreamRedactor:
    """A Redactor over a stream. Holds back only bytes that may begin a needle, so that streams keep flowing."""

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._tail = b""
        self.count = 0

    def feed(self, data: bytes) -> bytes:
        """What may pass on now."""
        data = self._tail + data
        cut = self._redactor.settled(data)
        self._tail = data[cut:]
        return self._replace(data[:cut])

    def finish(self) -> bytes:
        """What was held back at the end."""
        rest, self._tail = self._tail, b""
        return self._replace(rest)

    def _replace(self, data: bytes) -> bytes:
        clean, found = self._redactor.replace(data)
        self.count += found
        return clean
