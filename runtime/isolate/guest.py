"""The host's side of one running program: its clocks, its limits, its events, and how it is stopped."""

import hashlib
import json
import threading
import time
from collections import deque
from dataclasses import dataclass

from runtime.isolate.channel import Channel, Event, LogLine
from runtime.isolate.outcome import Ending, Outcome, Status
from runtime.isolate.slots import RunSlots
from runtime.isolate.trace import Trace, TraceWriter

FOREVER_NS = 2**63
CLOCK_MS = 1
"""The usual step of a guest's clock."""

LINES_IN_A_FRAME = 64
"""So many log lines are passed on at once."""
MOST_ERROR_BYTES = 1 << 20
"""Of a guest's error object; an honest one is shorter unless an upstream's details are large."""
TAKEN_STEP = 1 << 20
"""Whenever a program has taken so many characters of answers more, the gateway is told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GuestLimits:
    """The limits the isolate itself enforces. Times in milliseconds, sizes in bytes."""

    cpu_ms: int
    active_ms: int
    wall_ms: int
    memory_bytes: int
    log_lines: int
    log_bytes: int
    log_line_bytes: int
    result_bytes: int
    host_calls: int
    call_bytes: int
    fuel: int = 0


class Guest:
    """One program's run. Methods say on which thread they are called.

    The first recorded `ending` is the one that counts; nothing the guest says can replace it. All a program hears from
    outside it hears from `wait`, and that is what the trace records.
    """

    report = ""
    """What the host itself says of the ending, as an error object."""
    _trace: TraceWriter | None = None
    _last_call = 0
    _recorded_lines = 0
    _pausing = False

    def __init__(  # noqa: PLR0913 - all of it is the run's own
        self,
        *,
        limits: GuestLimits,
        seed: bytes,
        start_ns: int,
        channel: Channel,
        slots: RunSlots,
        received: float,
        clock_ms: int = CLOCK_MS,
    ) -> None:
        self.limits = limits
        self.seed = seed
        self.clock_step_ns = clock_ms * 1_000_000
        self.start_ns = start_ns - start_ns % self.clock_step_ns
        self.now_ns = self.start_ns
        self.ending: Ending | None = None
        self.answer: tuple[bool, str] | None = None
        self.reached = ""
        self.fuel_left: int | None = None
        self.host_calls = 0
        self.log_count = 0
        self.began = received
        self.started = received
        self._channel = channel
        self._slots = slots
        self._has_slot = False
        self._wall_deadline = received + limits.wall_ms / 1e3
        self._clock_from = received
        """When its clock, which moves as time does, stood at `start_ns`."""
        self._blocked = 0.0
        self._cpu_start = 0.0
        self._log_bytes = 0
        self._lines: list[LogLine] = []
        self._events: deque[Event] = deque()
        self._refusals = 0
        self._taken = 0
        self._told_taken = 0
        self._condition = threading.Condition(threading.Lock())
        self._random_block = 0

    # On the guest's thread, around its run.

    def begin(self) -> bool:
        """Take a run slot and start the clocks; false if the time was over before."""
        self._has_slot = self._slots.acquire(self._wall_deadline)
        self.started = time.monotonic()
        self._cpu_start = time.thread_time()
        if not self._has_slot:
            self.end(Status.LIMIT_WALL, "wall_ms", self.limits.wall_ms)
        return self._has_slot

    def finish(self) -> None:
        """Give the slot back and pass on what was logged."""
        if self._has_slot:
            self._has_slot = False
            self._slots.leave()
        self._flush()
        if self._trace is not None and self._trace.due:
            self._pass_trace(self._trace)

    def checked(self, outcome: Outcome) -> Outcome:
        """The outcome of its run; a replay compares it with the record."""
        return outcome

    def cpu_ns(self) -> int:
        """Processor time so far, host waits excluded."""
        return int((time.thread_time() - self._cpu_start) * 1e9)

    def clocks_ns(self) -> tuple[int, int]:
        """Active and wall time so far."""
        wall = time.monotonic() - self.began
        return int((wall - self._blocked) * 1e9), int(wall * 1e9)

    # On the guest's thread, from host functions.

    def submit(self, call_id: int, kind: int, name: str, payload: str) -> None:
        """Pass on a host call, or answer it at once with the limit it would break."""
        if self.ending is not None:
            return
        if not self._last_call < call_id < _MOST_CALLS:
            # An honest guest counts. The record tells answers apart by these numbers.
            self.report = own_error(
                "InterpreterBroken", f"the program made host call {call_id} after {self._last_call}"
            )
            self.end(Status.PROGRAM_ERROR)
            return
        self._last_call = call_id
        limit = self._broken_call_limit(name, payload)
        if limit is not None:
            self._refuse(call_id, limit)
            return
        self.host_calls += 1
        self._flush()
        self._pass_call(call_id, kind if 0 <= kind < _NO_KIND else _NO_KIND, name, payload)

    def _pass_call(self, call_id: int, kind: int, name: str, payload: str) -> None:
        trace = self._trace
        if trace is None:
            trace = self._trace = TraceWriter(self.start_ns, self.clock_step_ns)
            self._pass_trace(trace)
        elif trace.due:
            self._pass_trace(trace)
        self._channel.submit(call_id, kind, name, payload)

    def _refuse(self, call_id: int, error: str) -> None:
        """Answer at once. A program that makes such calls and takes no answers would fill the host's memory."""
        if self._refusals < _MOST_REFUSALS:
            self._refusals += 1
            self.deliver(Event(call_id, ok=False, payload=error, refused=True))
        else:
            self.end(Status.LIMIT_HOST_CALLS, "host_calls", self.limits.host_calls)

    def _broken_call_limit(self, name: str, payload: str) -> str | None:
        if self.host_calls >= self.limits.host_calls:
            return _limit_error("host_calls", self.limits.host_calls, "host calls in one execution", name)
        if len(name) > _MAX_NAME or not fits(payload, self.limits.call_bytes):
            return _limit_error("call_bytes", self.limits.call_bytes, "bytes in one host call", name[:_MAX_NAME])
        return None

    def log(self, level: int, text: str) -> None:
        """Take one log line, or end the guest when it has written too much."""
        if self.ending is not None:
            return
        limits = self.limits
        if self.log_count >= limits.log_lines:
            self.end(Status.LIMIT_OUTPUT, "log_lines", limits.log_lines)
            return
        data = text[: limits.log_line_bytes].encode(errors="replace")[: limits.log_line_bytes]
        text = data.decode(errors="ignore")
        self._log_bytes += len(data)
        if self._log_bytes > limits.log_bytes:
            self.end(Status.LIMIT_OUTPUT, "log_bytes", limits.log_bytes)
            return
        self.log_count += 1
        if self.log_count > self._recorded_lines:
            self._lines.append(LogLine(self.log_count, level if level in _LEVELS else _INFO, time.time_ns(), text))
        if len(self._lines) >= LINES_IN_A_FRAME:
            self._flush()

    def wait(self, timeout_ns: int) -> Event | None:
        """Block for the next event; None when the time passed or the guest was ended.

        This alone moves the guest's clock, and only in whole steps: a shorter time-out is lengthened to one.
        """
        self._flush()
        before = time.monotonic()
        step = self.clock_step_ns
        if timeout_ns < FOREVER_NS:
            timeout_ns += -timeout_ns % step
        event = self._take() if self._events else self._block(before, timeout_ns)
        due = self.now_ns + timeout_ns if event is None and timeout_ns < FOREVER_NS else 0
        self.now_ns = max(self.now_ns, self._real_ns(), due)
        if self.ending is None:
            self._hears(event)
        return event

    def _real_ns(self) -> int:
        """What the guest's clock would show if it moved now: whole steps."""
        moved = int((time.monotonic() - self._clock_from) * 1e9)
        return self.start_ns + moved - moved % self.clock_step_ns

    def _hears(self, event: Event | None) -> None:
        """Record a return of `wait`."""
        trace = self._trace
        if trace is None:
            trace = self._trace = TraceWriter(self.start_ns, self.clock_step_ns)
        if trace.add(0 if event is None else event.call_id, self.now_ns):
            self._pass_trace(trace)

    def _pass_trace(self, trace: TraceWriter, due_ns: int = 0) -> None:
        complete, data = trace.complete, trace.take()
        self._channel.trace(Trace(self.cpu_ns(), *self.clocks_ns(), self.log_count, complete, data, due_ns))

    def _block(self, before: float, timeout_ns: int) -> Event | None:
        self._has_slot = False
        self._slots.release()
        until = min(self._wall_deadline, before + timeout_ns / 1e9)
        told = False
        while self._sleep(until, told=told):
            told = True
            now = time.monotonic()
            self._blocked += now - before
            before = now
            due_ns = min(self.now_ns + timeout_ns, FOREVER_NS - 1) if timeout_ns < FOREVER_NS else 0
            self._pass_trace(self._trace or TraceWriter(self.start_ns, self.clock_step_ns), due_ns)
            self._channel.blocked()
        self._blocked += time.monotonic() - before
        if self.ending is None and time.monotonic() >= self._wall_deadline:
            self.end(Status.LIMIT_WALL, "wall_ms", self.limits.wall_ms)
        self._has_slot = self.ending is None and self._slots.acquire(self._wall_deadline)
        if not self._has_slot:
            self.end(Status.LIMIT_WALL, "wall_ms", self.limits.wall_ms)
            return None
        return self._take() if self._events else None

    def _sleep(self, until: float, *, told: bool) -> bool:
        """Wait for an event, the end or `until`; true before that if the gateway wants to be told and was not."""
        with self._condition:
            while not self._events and self.ending is None and (left := until - time.monotonic()) > 0:
                if self._pausing and not told:
                    return True
                self._condition.wait(left)
        return False

    def _take(self) -> Event:
        return self._counted(self._events.popleft())

    def _counted(self, event: Event) -> Event:
        """An answer that is taken. What no program takes stays here, so the gateway is told when it may send more."""
        if event.refused:
            self._refusals -= 1
            return event
        if event.recorded:
            return event
        self._taken += len(event.payload)
        if self._taken - self._told_taken >= TAKEN_STEP:
            self._told_taken = self._taken
            self._channel.taken(self._taken)
        return event

    def random(self, count: int) -> bytes:
        """The next bytes of this execution's own stream."""
        self._random_block += 1
        return hashlib.shake_256(self.seed + self._random_block.to_bytes(8, "little")).digest(count)

    def tick(self) -> bool:
        """Called at an epoch while wasm runs: false means stop now."""
        if self.ending is not None:
            return False
        self._keep_time()
        if self.ending is not None:
            return False
        self._flush()
        return self._take_turns() if self._slots.contended else True

    def _keep_time(self) -> None:
        """End the guest if a clock says so."""
        limits = self.limits
        now = time.monotonic()
        if now >= self._wall_deadline:
            self.end(Status.LIMIT_WALL, "wall_ms", limits.wall_ms)
        elif (time.thread_time() - self._cpu_start) * 1e3 >= limits.cpu_ms:
            self.end(Status.LIMIT_CPU, "cpu_ms", limits.cpu_ms)
        elif (now - self.began - self._blocked) * 1e3 >= limits.active_ms:
            self.end(Status.LIMIT_ACTIVE, "active_ms", limits.active_ms)

    def _take_turns(self) -> bool:
        self._has_slot = False
        self._slots.release()
        self._has_slot = self._slots.acquire(self._wall_deadline)
        if not self._has_slot:
            self.end(Status.LIMIT_WALL, "wall_ms", self.limits.wall_ms)
        return self.ending is None

    def _flush(self) -> None:
        if self._lines:
            if self._trace is not None and self._trace.due:
                self._pass_trace(self._trace)
            lines, self._lines = self._lines, []
            self._channel.log(lines)

    # On any thread.

    def end(self, status: Status, limit: str = "", value: int = 0) -> None:
        """Record why the guest ends, once; it stops at its next epoch check, or at once if it was waiting."""
        with self._condition:
            if self.ending is None:
                self.ending = Ending(status, limit, value)
            self._condition.notify_all()

    def pause(self) -> None:
        """From now on tell whenever the program waits and has nothing to hear."""
        with self._condition:
            self._pausing = True
            self._condition.notify_all()

    def deliver(self, event: Event) -> None:
        """Hand over the answer to a host call."""
        with self._condition:
            self._events.append(event)
            self._condition.notify_all()


_MAX_NAME = 512
_MOST_CALLS = 2**32
_MOST_REFUSALS = 2_000
# Kinds are a byte on their way to the gateway; this one stands for all that do not exist.
_NO_KIND = 255
_INFO = 2
_LEVELS = frozenset({1, 2, 3, 4})


def fits(text: str, most: int) -> bool:
    """Whether a text has at most so many bytes in UTF-8, told without encoding it where it can be."""
    if len(text) * 4 <= most:
        return True
    return len(text) <= most and (text.isascii() or len(text.encode(errors="replace")) <= most)


def own_error(name: str, message: str, **more: object) -> str:
    """An error object in the host's own words."""
    return json.dumps({"name": name, "message": message, **more})


def _limit_error(limit: str, value: int, what: str, tool: str) -> str:
    return json.dumps(
        {
            "code": "limit",
            "message": f"limit {limit} reached: at most {value} {what}",
            "status": None,
            "retryable": False,
            "tool": tool or None,
            "details": {"limit": limit, "value": value},
        }
    )
