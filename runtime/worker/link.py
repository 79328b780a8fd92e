"""The gateway's end of a worker's socket."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from runtime.isolate import GuestLimits, LogLine, Outcome, ReplayMode, Status, Trace
from runtime.isolate.trace import MOST_TRACE
from runtime.worker import frames
from runtime.worker.frame_bounds import most_payload
from runtime.worker.frames import Call, Decoder, Frame, FrameError, Kind, Run
from runtime.worker.process import Process
from runtime.worker.replay_frames import decode_trace, encode_replay

log = logging.getLogger(__name__)

_ENDS_OF_REPLAYS = frozenset({Status.DIVERGED, Status.STOPPED})
MOST_UNREAD = 256 << 20
"""Bytes sent to a worker that it has not read. An honest one reads at once, whatever its programs do."""


class Listener(Protocol):
    """What an execution hears from its worker. Called on the event loop; must not raise."""

    def on_log(self, lines: list[LogLine]) -> None:
        """Log lines arrived."""

    def on_call(self, call: Call) -> None:
        """The program made a host call; answer with `Link.result`."""

    def on_taken(self, size: int) -> None:
        """The program has taken so many characters of answers in all."""

    def on_trace(self, trace: Trace) -> None:
        """What the program has heard since the trace before, told ahead of what it did then."""

    def on_live(self) -> None:
        """The replay is over, the program goes on; told at most once, and not if it ended before that."""

    def on_blocked(self) -> None:
        """After `Link.pause`: the program waits and has nothing to hear. Answers on their way may have crossed this."""

    def on_done(self, outcome: Outcome) -> None:
        """The program ended; nothing follows."""

    def on_lost(self, reason: str) -> None:
        """The worker died; nothing follows."""


class Link(asyncio.Protocol):
    """One worker: its process, its socket and the executions in it."""

    def __init__(self, process: Process, on_ready: Callable[["Link"], None], on_gone: Callable[["Link"], None]) -> None:
        self.process = process
        self.served = 0
        self.walls: dict[str, str] = {}
        self._on_ready = on_ready
        self._on_gone = on_gone
        self._decoder = Decoder(self._most)
        self._listeners: dict[int, Listener] = {}
        self._limits: dict[int, GuestLimits] = {}
        self._may_go_live: dict[int, bool] = {}
        self._traced: dict[int, int] = {}
        self._positions: dict[int, tuple[int, int]] = {}
        self.sessions: set[int] = set()
        """Those whose isolates it keeps, as far as it has told."""
        self._transport: asyncio.Transport | None = None
        self._reason = ""
        self._closing = self._gone = False
        self._pinged = 0.0

    @property
    def load(self) -> int:
        """How many executions are in it."""
        return len(self._listeners)

    def holds(self, number: int) -> bool:
        """Whether an execution is still in it."""
        return number in self._listeners

    def run(self, number: int, run: Run, listener: Listener) -> None:
        """Send a program; `listener` hears of it until on_done or on_lost."""
        if self._gone:
            asyncio.get_running_loop().call_soon(listener.on_lost, "the worker process had ended")
            return
        self._listeners[number] = listener
        self._limits[number] = run.limits
        self.served += 1
        data = frames.encode_run(number, run)
        if run.session:
            self._positions[number] = (run.session, run.position)
        if run.replay is not None:
            self._may_go_live[number] = run.replay.mode is ReplayMode.RESUME
            self._traced[number] = len(run.replay.trace) if self._may_go_live[number] else 0
            data = encode_replay(number, run.replay) + data
        self._write(data)

    def result(self, number: int, call_id: int, *, ok: bool, payload: str) -> None:
        """Answer a host call; ignored if the execution has ended."""
        if number in self._listeners:
            self._write(frames.encode_result(number, call_id, ok=ok, payload=payload))

    def cancel(self, number: int) -> None:
        """Ask for an execution's end; on_done follows."""
        if number in self._listeners:
            self._write(frames.encode(Kind.CANCEL, number))

    def pause(self, number: int) -> None:
        """Ask to be told whenever a program waits and has nothing to hear."""
        if number in self._listeners:
            self._write(frames.encode(Kind.PAUSE, number))

    def keeps(self, session: int) -> bool:
        """Whether a session's next program finds its isolate here."""
        return session in self.sessions and not self._closing and self._transport is not None

    def end_session(self, session: int) -> None:
        """A session's isolate is not needed any more."""
        if session in self.sessions:
            self.sessions.discard(session)
            self._write(frames.encode_end_session(session))

    def kill(self, reason: str) -> None:
        """End the process now; every execution in it is lost."""
        self._reason = self._reason or reason
        self.process.kill()

    def ping(self) -> None:
        """Ask for a sign of life."""
        if not self._pinged:
            self._pinged = time.monotonic()
            self._write(frames.encode(Kind.PING, 0))

    def silent_s(self, now: float) -> float:
        """For how long a ping has not been answered."""
        return now - self._pinged if self._pinged else 0.0

    def close_when_idle(self) -> None:
        """As `close`, once the last execution has ended."""
        self._closing = True
        if not self._listeners:
            self.close()

    def close(self) -> None:
        """Let the worker end by itself: its socket closes."""
        if self._transport is not None:
            self._transport.close()

    def _write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)
            if self._transport.get_write_buffer_size() > MOST_UNREAD:
                log.error("worker %d does not read; it is killed", self.process.pid)
                self.kill("the worker does not read what it is sent")

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:  # noqa: D102 - asyncio's, as the next two
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:  # noqa: D102
        if self._reason:
            return  # killed; what still arrives is nobody's word
        try:
            for frame in self._decoder.feed(data):
                self._dispatch(frame)
        except FrameError as error:
            log.error("worker %d sent %s; it is killed", self.process.pid, error)
            self.kill(f"the worker broke the frame protocol: {error}")

    def _most(self, kind: int, number: int) -> int:
        return most_payload(kind, self._limits.get(number))

    def _dispatch(self, frame: Frame) -> None:
        if frame.kind == Kind.PONG:
            self._pinged = 0.0
            return
        if frame.kind == Kind.HELLO:
            if not self.walls:
                self.walls = frames.decode_hello(frame.payload)
                self._on_ready(self)
            return
        listener = self._listeners.get(frame.number)
        if listener is not None:
            self._tell(listener, frame)

    def _tell(self, listener: Listener, frame: Frame) -> None:
        if frame.kind == Kind.DONE:
            outcome = frames.decode_done(frame.payload)
            if outcome.ending.status in _ENDS_OF_REPLAYS and frame.number not in self._may_go_live:
                raise FrameError("a DONE frame of a replay that was not asked for")
            self._note_session(frame.number, outcome)
            self._forget(frame.number)
            listener.on_done(outcome)
            if self._closing and not self._listeners:
                self.close()
        elif frame.kind == Kind.CALL:
            listener.on_call(frames.decode_call(frame.payload))
        elif frame.kind == Kind.LOG:
            listener.on_log(frames.decode_log(frame.payload))
        elif frame.kind == Kind.TAKEN:
            listener.on_taken(frames.decode_taken(frame.payload))
        else:
            self._tell_of_record(listener, frame)

    def _note_session(self, number: int, outcome: Outcome) -> None:
        session, position = self._positions.pop(number, (0, 0))
        if outcome.kept not in {0, position, max(0, position - 1)}:
            raise FrameError("a DONE frame of a session that has not got so far")
        if outcome.ending.status is Status.SESSION_LOST and position <= 1:
            raise FrameError("a DONE frame of a session that did not have to be there")
        if outcome.kept:
            self.sessions.add(session)
        else:
            self.sessions.discard(session)

    def _tell_of_record(self, listener: Listener, frame: Frame) -> None:
        if frame.kind == Kind.TRACE:
            listener.on_trace(self._trace(frame))
        elif frame.kind == Kind.BLOCKED:
            listener.on_blocked()
        elif frame.kind != Kind.LIVE:
            raise FrameError(f"a frame of kind {frame.kind}")
        elif not self._may_go_live.get(frame.number, False):
            raise FrameError("a LIVE frame of a program that does not replay")
        else:
            self._may_go_live[frame.number] = False
            listener.on_live()

    def _trace(self, frame: Frame) -> Trace:
        trace = decode_trace(frame.payload)
        size = self._traced.get(frame.number, 0) + len(trace.data)
        if size > MOST_TRACE:
            raise FrameError(f"TRACE frames of more than {MOST_TRACE} bytes in all")
        self._traced[frame.number] = size
        return trace

    def _forget(self, number: int) -> None:
        del self._listeners[number], self._limits[number]
        self._may_go_live.pop(number, None)
        self._traced.pop(number, None)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: D102
        self._transport = None
        self._gone = True
        self.sessions.clear()
        self.process.forget()
        reason = self._reason or (f"the worker process ended: {exc}" if exc else "the worker process ended")
        listeners, self._listeners = self._listeners, {}
        self._on_gone(self)
        for listener in listeners.values():
            listener.on_lost(reason)
