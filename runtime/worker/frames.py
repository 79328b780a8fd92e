"""The frames between gateway and worker. What comes from a worker is hostile and bounded here.

A frame is a header (payload length, kind, execution number) and a payload. Texts are UTF-8.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache
from typing import NamedTuple

from runtime.isolate import CLOCK_MS, Ending, GuestLimits, LogLine, Outcome, Replay, Status, Usage
from runtime.isolate.erasure import Types

HEADER = struct.Struct("<IBQ")
MOST_PAYLOAD = 160 << 20
"""Of frames to a worker: nothing honest is longer. `frame_bounds` has those of frames from one."""
MOST_CALL_NAME = 512
CALL_HEAD = struct.Struct("<IBHI")
LINE_HEAD = struct.Struct("<IBqI")
DONE_HEAD = struct.Struct("<BBB10q")
"""The status by its place in Status, whether memory is exact, the length of the limit's name, and ten counts."""

_RUN = struct.Struct("<BB32sqHQI11qI")
_SESSION = struct.Struct("<Q")
_RESULT = struct.Struct("<IB")
_MOST_LIMIT_NAME = 64
_STATUSES = tuple(Status)
_STATUS_NUMBERS = {status: number for number, status in enumerate(_STATUSES)}
_TAKEN = struct.Struct("<Q")
# Not worth asking for a bound.
_SURELY_SHORT = 64
_LIMIT_NAMES = tuple(GuestLimits.__dataclass_fields__)


class Kind(IntEnum):
    """What a frame says. Those below HELLO go to a worker, the others come from one."""

    RUN = 1
    RESULT = 2
    CANCEL = 3
    PING = 4
    REPLAY = 5
    PAUSE = 6
    END_SESSION = 7
    HELLO = 16
    LOG = 17
    CALL = 18
    DONE = 19
    PONG = 20
    TAKEN = 21
    TRACE = 22
    LIVE = 23
    BLOCKED = 24


class FrameError(ValueError):
    """A frame that no honest worker sends. The worker that sent it is killed."""


class Frame(NamedTuple):
    """One frame."""

    kind: int
    number: int
    payload: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """Everything a worker needs for one execution. `image` indexes the worker's images; `inputs` is JSON.

    `clock_ms` is the step in which the program's clock moves. `replay` goes ahead of it, in frames of its own.

    A program of a `session` (an id that the gateway gives, 0: none) has a `position` in it, from 1, and needs the
    isolate in which the ones before it ran. Such a session is made again, in another isolate, by running its programs
    from the first, each with a replay to verify.
    """

    image: int
    seed: bytes
    start_ns: int
    limits: GuestLimits
    program: str
    inputs: str
    types: Types = Types.KEEP
    clock_ms: int = CLOCK_MS
    replay: Replay | None = None
    session: int = 0
    position: int = 0


class Call(NamedTuple):
    """One host call of a program."""

    call_id: int
    kind: int
    name: str
    payload: str


def encode(kind: Kind, number: int, payload: bytes = b"") -> bytes:
    """A frame ready to send."""
    return HEADER.pack(len(payload), kind, number) + payload


type Bound = Callable[[int, int], int]
"""The most bytes a frame of a kind, about an execution, may have."""


class Decoder:
    """Cuts a byte stream into frames. Raises FrameError for a length out of bounds, before it is buffered."""

    def __init__(self, most: Bound = lambda _kind, _number: MOST_PAYLOAD) -> None:
        self._buffer = bytearray()
        self._most = most

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that are complete now."""
        buffer = self._buffer
        buffer += data
        frames: list[Frame] = []
        offset, size = 0, len(buffer)
        while size - offset >= HEADER.size:
            length, kind, number = HEADER.unpack_from(buffer, offset)
            end = offset + HEADER.size + length
            if length > _SURELY_SHORT and length > (most := self._most(kind, number)):
                raise FrameError(f"a frame of kind {kind} and {length} bytes; at most {most} are allowed")
            if end > size:
                break
            frames.append(Frame(kind, number, bytes(buffer[offset + HEADER.size : end])))
            offset = end
        if offset:
            del buffer[:offset]
        return frames


def encode_hello(walls: dict[str, str]) -> bytes:
    """HELLO: which walls of the lock-down stand, as a JSON object."""
    return encode(Kind.HELLO, 0, json.dumps(walls).encode())


def decode_hello(payload: bytes) -> dict[str, str]:
    """The inverse of encode_hello. Raises FrameError."""
    try:
        walls = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise FrameError("a HELLO frame that is not JSON") from error
    if not isinstance(walls, dict) or not all(isinstance(text, str) for text in walls.values()):
        raise FrameError("a HELLO frame of the wrong types")
    return {name[:40]: text[:200] for name, text in walls.items()}


def encode_run(number: int, run: Run) -> bytes:
    """RUN: numbers, then program and inputs; what it replays is not in it."""
    limits = run.limits
    program = run.program.encode(errors="replace")
    numbers = [getattr(limits, name) for name in _LIMIT_NAMES]
    session = (run.session, run.position)
    head = _RUN.pack(run.image, run.types, run.seed, run.start_ns, run.clock_ms, *session, *numbers, len(program))
    return encode(Kind.RUN, number, head + program + run.inputs.encode(errors="replace"))


def decode_run(payload: bytes) -> Run:
    """The inverse of encode_run."""
    image, types, seed, start_ns, clock_ms, session, position, *numbers, length = _RUN.unpack_from(payload)
    text = payload[_RUN.size :]
    return Run(
        image=image,
        types=Types(types),
        seed=seed,
        start_ns=start_ns,
        limits=_limits(*numbers),
        program=text[:length].decode(),
        inputs=text[length:].decode(),
        clock_ms=clock_ms,
        session=session,
        position=position,
    )


@lru_cache(maxsize=64)
def _limits(*numbers: int) -> GuestLimits:
    """Those of most programs are the same."""
    return GuestLimits(**dict(zip(_LIMIT_NAMES, numbers, strict=True)))


def encode_end_session(session: int) -> bytes:
    """END_SESSION: the isolate of a session is not needed any more."""
    return encode(Kind.END_SESSION, 0, _SESSION.pack(session))


def decode_end_session(payload: bytes) -> int:
    """The inverse of encode_end_session."""
    return int(_SESSION.unpack(payload)[0])


def encode_result(number: int, call_id: int, *, ok: bool, payload: str) -> bytes:
    """RESULT: the answer to a host call."""
    return encode(Kind.RESULT, number, _RESULT.pack(call_id, ok) + payload.encode(errors="replace"))


def decode_result(payload: bytes) -> tuple[int, bool, str]:
    """The inverse of encode_result."""
    call_id, ok = _RESULT.unpack_from(payload)
    return call_id, bool(ok), payload[_RESULT.size :].decode()


def encode_call(number: int, call: Call) -> bytes:
    """CALL: a host call. A name too long is cut; the gateway refuses it by the name that is left."""
    name = call.name.encode(errors="replace")[:MOST_CALL_NAME]
    payload = call.payload.encode(errors="replace")
    head = CALL_HEAD.pack(call.call_id & 0xFFFFFFFF, call.kind & 0xFF, len(name), len(payload))
    return encode(Kind.CALL, number, head + name + payload)


def decode_call(payload: bytes) -> Call:
    """The inverse of encode_call. Raises FrameError when lengths do not add up."""
    try:
        call_id, kind, name_length, length = CALL_HEAD.unpack_from(payload)
    except struct.error as error:
        raise FrameError("a CALL frame without its head") from error
    body = payload[CALL_HEAD.size :]
    if len(body) != name_length + length:
        raise FrameError("a CALL frame whose lengths do not add up")
    name = body[:name_length].decode(errors="replace")
    return Call(call_id, kind, name, body[name_length:].decode(errors="replace"))


def encode_log(number: int, lines: list[LogLine]) -> bytes:
    """LOG: for each line its number, level, time, length and text."""
    parts: list[bytes] = []
    for line in lines:
        text = line.text.encode(errors="replace")
        parts += (LINE_HEAD.pack(line.number, line.level, line.time_ns, len(text)), text)
    return encode(Kind.LOG, number, b"".join(parts))


def decode_log(payload: bytes) -> list[LogLine]:
    """The inverse of encode_log. Raises FrameError for anything else."""
    lines = []
    offset = 0
    while offset < len(payload):
        if len(payload) - offset < LINE_HEAD.size:
            raise FrameError("a log line without its head")
        number, level, time_ns, length = LINE_HEAD.unpack_from(payload, offset)
        offset += LINE_HEAD.size
        if length > len(payload) - offset:
            raise FrameError("a log line that ends beyond its frame")
        if not (0 < number < 2**31 and 1 <= level <= 4 and time_ns >= 0):  # noqa: PLR2004 - the four levels
            raise FrameError("a log line out of range")
        lines.append(LogLine(number, level, time_ns, payload[offset : offset + length].decode(errors="replace")))
        offset += length
    return lines


def encode_taken(number: int, size: int) -> bytes:
    """TAKEN: how many characters of answers the program has taken in all."""
    return encode(Kind.TAKEN, number, _TAKEN.pack(size))


def decode_taken(payload: bytes) -> int:
    """The inverse of encode_taken. Raises FrameError for anything else."""
    try:
        (size,) = _TAKEN.unpack(payload)
    except struct.error as error:
        raise FrameError("a TAKEN frame that is not a number") from error
    return int(size)


def encode_done(number: int, outcome: Outcome) -> bytes:
    """DONE: numbers, the limit's name, then the result or the error."""
    ending, usage = outcome.ending, outcome.usage
    limit = ending.limit.encode(errors="replace")[:_MOST_LIMIT_NAME]
    head = DONE_HEAD.pack(
        _STATUS_NUMBERS[ending.status],
        usage.memory_exact,
        len(limit),
        ending.value,
        usage.cpu_ns,
        usage.active_ns,
        usage.wall_ns,
        usage.startup_ns,
        usage.memory_bytes,
        usage.host_calls,
        usage.log_lines,
        usage.fuel,
        outcome.kept,
    )
    return encode(Kind.DONE, number, head + limit + (outcome.result or outcome.error).encode(errors="replace"))


def decode_done(payload: bytes) -> Outcome:
    """The inverse of encode_done. Raises FrameError for anything else."""
    try:
        status, exact, length, *numbers = DONE_HEAD.unpack_from(payload)
    except struct.error as error:
        raise FrameError("a DONE frame without its head") from error
    begin = DONE_HEAD.size + length
    if status >= len(_STATUSES) or exact > 1 or length > _MOST_LIMIT_NAME or begin > len(payload):
        raise FrameError("a DONE frame that is not an outcome")
    if min(numbers) < 0:
        raise FrameError("a DONE frame out of range")
    value, cpu, active, wall, startup, memory, calls, lines, fuel, kept = numbers
    ending = Ending(_STATUSES[status], payload[DONE_HEAD.size : begin].decode(errors="replace"), value)
    usage = Usage(
        cpu_ns=cpu,
        active_ns=active,
        wall_ns=wall,
        startup_ns=startup,
        memory_bytes=memory,
        memory_exact=bool(exact),
        host_calls=min(calls, 2**31 - 1),
        log_lines=min(lines, 2**31 - 1),
        fuel=fuel,
    )
    body = payload[begin:].decode(errors="replace")
    if ending.status is Status.SUCCEEDED:
        return Outcome(ending=ending, result=body, usage=usage, kept=kept)
    return Outcome(ending=ending, error=body, usage=usage, kept=kept)
