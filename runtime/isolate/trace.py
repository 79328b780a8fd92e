"""What a guest has heard, in order: at each return of its `wait` the call that was answered and how its clock moved.

Two numbers an entry, as LEB128: the id of the call (0: time passed), and the steps of the clock since the entry before.
Parts are whole entries, so a trace is its parts joined.
"""

from collections.abc import Iterator
from typing import NamedTuple

MOST_TRACE = 1 << 20
"""Bytes of one execution's trace. One that grows beyond goes on, but cannot be replayed."""
TRACE_PART = 2 << 10
"""So many bytes are passed on even if the program does nothing that could be seen."""

_MOST_CALL_ID = 2**32 - 1
_MOST_STEPS = 2**63 - 1
_ONE_BYTE = 0x80
_LONGEST = 10


class Heard(NamedTuple):
    """One return of `wait`: the call that was answered, 0 if time passed; and how many steps the clock moved."""

    call_id: int
    steps: int


class Trace(NamedTuple):
    """The part of a trace since the one before, and what the execution had used when it was passed on.

    Times in nanoseconds, from the start of the execution. `log_lines` is how many it had written. When the trace was
    not `complete`, it has grown beyond MOST_TRACE and what follows is not recorded. `due_ns`, told ahead of BLOCKED
    only, is when the program wakes by itself, on its own clock, which is UTC; 0 if never.
    """

    cpu_ns: int
    active_ns: int
    wall_ns: int
    log_lines: int
    complete: bool
    data: bytes
    due_ns: int = 0


def encode(entries: list[Heard]) -> bytes:
    """The entries as bytes."""
    return b"".join(_entry(*entry) for entry in entries)


def decode(data: bytes) -> list[Heard]:
    """The inverse of encode. Raises ValueError for anything encode does not make."""
    return list(entries(data))


def entries(data: bytes) -> Iterator[Heard]:
    """As decode, one at a time."""
    numbers = _numbers(data)
    for call_id in numbers:
        steps = next(numbers, -1)
        if steps < 0:
            raise ValueError("a trace that ends within an entry")
        if call_id > _MOST_CALL_ID or steps > _MOST_STEPS:
            raise ValueError("a number in a trace that is out of range")
        yield Heard(call_id, steps)


def _numbers(data: bytes) -> Iterator[int]:
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        if byte < _ONE_BYTE:
            if byte == 0 and shift:
                raise ValueError("a number in a trace that is longer than it needs to be")
            yield value
            value = shift = 0
        elif (shift := shift + 7) >= 7 * _LONGEST:
            raise ValueError("a number in a trace without an end")
    if shift:
        raise ValueError("a trace that ends within a number")


class TraceWriter:
    """Keeps the part of a trace that was not passed on yet.

    `now_ns` is the clock before the first entry, in steps of `step_ns`; `recorded` bytes were before it.
    """

    def __init__(self, now_ns: int, step_ns: int, recorded: int = 0) -> None:
        self.complete = True
        self.due = False
        """Whether there is something to pass on."""
        self._now_ns = now_ns
        self._step_ns = step_ns
        self._left = MOST_TRACE - recorded
        self._part = bytearray()

    def add(self, call_id: int, now_ns: int) -> bool:
        """One return of `wait`, with the clock after it. True if so much came together that it is to be passed on."""
        if not self.complete:
            return False
        steps = (now_ns - self._now_ns) // self._step_ns
        data = bytes((call_id, steps)) if call_id < _ONE_BYTE and steps < _ONE_BYTE else _entry(call_id, steps)
        self._now_ns = now_ns
        self._left -= len(data)
        self.due = True
        if self._left < 0:
            self.complete = False
        else:
            self._part += data
        return len(self._part) >= TRACE_PART

    def take(self) -> bytes:
        """What was not passed on yet."""
        part = bytes(self._part)
        self._part.clear()
        self.due = False
        return part


def _entry(call_id: int, steps: int) -> bytes:
    data = bytearray()
    for number in (call_id, steps):
        left = number
        while left >= _ONE_BYTE:
            data.append(left & 0x7F | _ONE_BYTE)
            left >>= 7
        data.append(left)
    return bytes(data)
