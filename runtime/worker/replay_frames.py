"""The frames of traces and replays. TRACE, LIVE and BLOCKED come from a worker, REPLAY and PAUSE go to one."""

import struct
from dataclasses import replace

from runtime.isolate import Replay, ReplayedCall, ReplayMode, Trace
from runtime.isolate import trace as traces
from runtime.worker.frames import FrameError, Kind, encode

TRACE_HEAD = struct.Struct("<QQQIBQ")
MOST_TRACE_FRAME = TRACE_HEAD.size + traces.TRACE_PART + 32
"""A part of a trace is passed on once it is as long, or one entry longer."""
MOST_REPLAY = 64 << 20
"""Bytes of calls and answers that go ahead of a program; a worker holds them all until they are heard."""

_MOST_NS = 2**63 - 1
_MOST_LINES = 2**31 - 1
_HEAD = struct.Struct("<BIQQQIII")
_CALL = struct.Struct("<IBHB32sI")
_ANSWERED, _OK, _LATER = 1, 2, 4
_PART = 1 << 20


def encode_trace(number: int, trace: Trace) -> bytes:
    """TRACE: what had been used, whether the trace is complete, and its next part."""
    return encode(Kind.TRACE, number, TRACE_HEAD.pack(*trace[:5], trace.due_ns) + trace.data)


def decode_trace(payload: bytes) -> Trace:
    """The inverse of encode_trace. Raises FrameError for anything else."""
    try:
        cpu_ns, active_ns, wall_ns, log_lines, complete, due_ns = TRACE_HEAD.unpack_from(payload)
        data = payload[TRACE_HEAD.size :]
        traces.decode(data)
    except (struct.error, ValueError) as error:
        raise FrameError(f"a TRACE frame that is no trace: {error}") from error
    if max(cpu_ns, active_ns, wall_ns, due_ns) > _MOST_NS or log_lines > _MOST_LINES or complete > 1:
        raise FrameError("a TRACE frame out of range")
    return Trace(cpu_ns, active_ns, wall_ns, log_lines, bool(complete), data, due_ns)


def encode_replay(number: int, replay: Replay) -> bytes:
    """REPLAY, several frames: first all but the calls, then the calls. Raises ValueError if it is too long."""
    head = _HEAD.pack(
        replay.mode,
        replay.until,
        replay.cpu_ns,
        replay.active_ns,
        replay.wall_ns,
        replay.log_lines,
        len(replay.calls),
        len(replay.trace),
    )
    parts = [encode(Kind.REPLAY, number, head + replay.trace)]
    calls: list[bytes] = []
    size = total = 0
    for call in replay.calls:
        calls.append(_call(call))
        size += len(calls[-1])
        if size >= _PART:
            total += size
            parts.append(encode(Kind.REPLAY, number, b"".join(calls)))
            calls, size = [], 0
        if total > MOST_REPLAY:
            raise ValueError(f"a replay of more than {MOST_REPLAY} bytes: its answers are to be sent later")
    if calls:
        parts.append(encode(Kind.REPLAY, number, b"".join(calls)))
    return b"".join(parts)


def _call(call: ReplayedCall) -> bytes:
    name, payload = call.name.encode(errors="replace"), call.payload.encode(errors="replace")
    flags = call.answered * _ANSWERED | call.ok * _OK | call.later * _LATER
    return _CALL.pack(call.call_id, call.kind, len(name), flags, call.digest, len(payload)) + name + payload


class ReplayReader:
    """Puts the REPLAY frames of one execution together."""

    def __init__(self, payload: bytes) -> None:
        mode, until, cpu_ns, active_ns, wall_ns, log_lines, self._count, length = _HEAD.unpack_from(payload)
        self._calls: list[ReplayedCall] = []
        self._replay = Replay(
            mode=ReplayMode(mode),
            trace=payload[_HEAD.size : _HEAD.size + length],
            until=until,
            cpu_ns=cpu_ns,
            active_ns=active_ns,
            wall_ns=wall_ns,
            log_lines=log_lines,
        )

    def feed(self, payload: bytes) -> None:
        """The next calls."""
        offset = 0
        while offset < len(payload):
            call_id, kind, name_length, flags, digest, length = _CALL.unpack_from(payload, offset)
            name_end = offset + _CALL.size + name_length
            name = payload[offset + _CALL.size : name_end].decode()
            offset = name_end + length
            answer = payload[name_end:offset].decode()
            known = bool(flags & _ANSWERED), bool(flags & _OK), answer, bool(flags & _LATER)
            self._calls.append(ReplayedCall(call_id, kind, name, digest, *known))

    def replay(self) -> Replay:
        """All of it. Raises FrameError if calls are missing."""
        if len(self._calls) != self._count:
            raise FrameError(f"a replay of {self._count} calls that has {len(self._calls)}")
        return replace(self._replay, calls=tuple(self._calls))
