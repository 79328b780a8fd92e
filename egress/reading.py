"""Data as a reader understands it after undoing escapes or line breaks, with the way back to where it came from."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice
from typing import Final

Change = tuple[int, int, bytes]
_NEAR: Final = 16  # changes from the end, where a place is looked for before the table is made


class Reading:
    """`data`, and the way from each of its bytes to the range it was read from. The first reading is the data itself.

    The way is made when it is first asked for: most readings hold nothing, and of the others the end is asked for most.
    """

    def __init__(self, data: bytes, under: "Reading | None" = None, changes: Sequence[Change] = ()) -> None:
        self.data = data
        self._under = under
        self._changes = changes

    def source(self, start: int, end: int) -> tuple[int, int]:
        """The range of the first reading's data that `data[start:end]` was read from; `end` is after `start`."""
        if self._under is None:
            return start, end
        return self._under.source(self._below(start)[0], self._below(end - 1)[1])

    def _below(self, place: int) -> tuple[int, int]:
        return self._near_end(place) or self._by_table(place)

    def _near_end(self, place: int) -> tuple[int, int] | None:
        assert self._under is not None
        left, stop = len(self.data) - place, len(self._under.data)
        for start, end, said in islice(reversed(self._changes), _NEAR):
            if left <= stop - end:
                return stop - left, stop - left + 1
            left -= stop - end
            if left <= len(said):
                return start, end
            left -= len(said)
            stop = start
        return None

    def _by_table(self, place: int) -> tuple[int, int]:
        at, begins, ends = self._table
        piece = bisect_right(at, place) - 1
        if ends[piece]:
            return begins[piece], ends[piece]
        begin = begins[piece] + place - at[piece]
        return begin, begin + 1

    @cached_property
    def _table(self) -> tuple[list[int], list[int], list[int]]:
        """For each piece: where it begins here, where below, and its end there if it was an escape, else 0."""
        assert self._under is not None
        at: list[int] = []
        begins: list[int] = []
        ends: list[int] = []
        length = place = 0
        size = len(self._under.data)
        for start, end, said in (*self._changes, (size, size, b"")):
            for text, begin, stop in ((start - place, place, 0), (len(said), start, end)):
                if text:
                    at.append(length)
                    begins.append(begin)
                    ends.append(stop)
                    length += text
            place = end
        return at, begins, ends

    @classmethod
    def replacing(cls, under: "Reading", changes: Iterable[Change]) -> "Reading":
        """`under` with each range replaced; ranges in order and apart, an empty replacement takes one out."""
        changes = changes if isinstance(changes, list) else list(changes)
        data, place = under.data, 0
        parts: list[bytes] = []
        for start, end, said in changes:
            parts += (data[place:start], said)
            place = end
        parts.append(data[place:])
        return cls(b"".join(parts), under, changes)
