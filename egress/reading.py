"""Data as a reader understands it after undoing escapes or line breaks, with the way back to where it came from."""

from bisect import bisect_right
from collections.abc import Iterable


class Reading:
    """`data`, and for each of its bytes the range it was read from. The first reading is the data itself."""

    def __init__(self, data: bytes, under: "Reading | None" = None) -> None:
        self.data = data
        self._under = under
        self._at: list[int] = []  # where each piece begins in `data`
        self._from: list[int] = []  # where it begins below
        self._to: list[int] = []  # for what was read from an escape: its end below; else 0

    def source(self, start: int, end: int) -> tuple[int, int]:
        """The range of the first reading's data that `data[start:end]` was read from; `end` is after `start`."""
        if self._under is None:
            return start, end
        return self._under.source(self._below(start)[0], self._below(end - 1)[1])

    def _below(self, place: int) -> tuple[int, int]:
        piece = bisect_right(self._at, place) - 1
        if self._to[piece]:
            return self._from[piece], self._to[piece]
        begin = self._from[piece] + place - self._at[piece]
        return begin, begin + 1

    @classmethod
    def replacing(cls, under: "Reading", changes: Iterable[tuple[int, int, bytes]]) -> "Reading":
        """`under` with each range replaced; ranges in order and apart, an empty replacement takes one out."""
        made = cls(b"", under)
        parts: list[bytes] = []
        length = place = 0
        for start, end, said in changes:
            for text, begin, stop in ((under.data[place:start], place, 0), (said, start, end)):
                if text:
                    made._at.append(length)
                    made._from.append(begin)
                    made._to.append(stop)
                    parts.append(text)
                    length += len(text)
            place = end
        if place < len(under.data):
            made._at.append(length)
            made._from.append(place)
            made._to.append(0)
            parts.append(under.data[place:])
        made.data = b"".join(parts)
        return made
