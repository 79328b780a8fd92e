"""What a guest has heard, in order: at each return of its `wait` the call that was answered and how its clock moved.

Two numbers an entry, as LEB128: the id of the call (0: time passed), and the steps of the clock since the entry before.
Parts are whole entries, so a trace is its parts joined.
"""

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
    not `complete`, it has grown beyond MOST_TRACE and what follows is not recorded.
    """

    cpu_ns: int
    active_ns: int
    wall_ns: int
    log_lines: int
    complete: bool
    data: bytes


def encode(entries: list[Heard]) -> bytes:
    """The entries as bytes."""
    return b"".join(_entry(*entry) for entry in entries)


def decode(data: bytes) -> list[Heard]:
    """The inverse of encode. Raises ValueError for anything encode does not make."""
    numbers: list[int] = []
    value = shift = 0
    for byte in data:
        value |= (byte & 0x7F) << shift
        if byte < _ONE_BYTE:
            if byte == 0 and shift:
                raise ValueError("a number in a trace that is longer than it needs to be")
            numbers.append(value)
            value = shift = 0
        elif (shift := shift + 7) >= 7 * _LONGEST:
            raise ValueError("a number in a trace without an end")
    if shift or len(numbers) % 2:
        raise ValueError("a trace that ends within an entry")
    entries = list(map(Heard, numbers[::2], numbers[1::2]))
    if any(entry.call_id > _MOST_CALL_ID or entry.steps > _MOST_STEPS for entry in entries):
        raise ValueError("a number in a trace that is out of range")
    return entries


class TraceWriter:
    """Keeps the part of a trace that was not passed on yet. `recorded` bytes were before it."""

    def __init__(self, recorded: int = 0) -> None:
        self.complete = True
        self._left = MOST_TRACE - recorded
        self._part = bytearray()

    @property
    def size(self) -> int:
        """Bytes not passed on yet."""
        return len(self._part)

    def add(self, call_id: int, steps: int) -> None:
        """One return of `wait`."""
        if not self.complete:
            return
        data = bytes((call_id, steps)) if call_id < _ONE_BYTE and steps < _ONE_BYTE else _entry(call_id, steps)
        self._left -= len(data)
        if self._left < 0:
            self.complete = False
        else:
            self._part += data

    def take(self) -> bytes:
        """What was not passed on yet."""
        part = bytes(self._part)
        self._part.clear()
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
