"""A guest that hears a record again: the same answers in the same order at the same times, until the record is over."""

import dataclasses
import time
from collections.abc import Iterator
from typing import Any

from runtime.isolate.channel import Event
from runtime.isolate.guest import FOREVER_NS, Guest, own_error
from runtime.isolate.outcome import Ending, Outcome, Status
from runtime.isolate.replay import Replay, ReplayedCall, ReplayMode, payload_digest
from runtime.isolate.trace import Heard, TraceWriter, entries

MOST_SHOWN = 2_048
"""Characters of a call's arguments in the report of a divergence."""

_CPU_FACTOR = 2
_CPU_MORE_MS = 1_000
_WALL_FACTOR = 10
_NAME_BYTES = 512
# Neither the program nor the record is to blame for these.
_FROM_OUTSIDE = frozenset(
    {
        Status.CANCELLED,
        Status.LIMIT_CPU,
        Status.LIMIT_WALL,
        Status.LIMIT_ACTIVE,
        Status.DIVERGED,
        Status.STOPPED,
    }
)


class ReplayingGuest(Guest):
    """A guest that replays first. Calls that are recorded are compared with the record and not passed on.

    Nothing blocks while it replays, and the limits on its time are replaced by one on what a replay may take. When
    the record is used up a resuming guest goes on as any other, from the next thing it does that is not recorded: its
    clock jumps to the present then, and what it had used counts again. A verifying guest ends there.
    """

    def __init__(self, replay: Replay, **run: Any) -> None:
        super().__init__(**run)
        self._replay = replay
        self._resumes = replay.mode is ReplayMode.RESUME
        self._live = False
        self._first_wait = False
        self._made: dict[int, ReplayedCall] = {}
        self._entries: Iterator[Heard] = entries(replay.trace)
        self._next = self._following()
        self._replay_ms = self.limits.cpu_ms * _CPU_FACTOR + _CPU_MORE_MS
        self._wall_deadline = self.began + self._replay_ms * _WALL_FACTOR / 1e3
        self._recorded_lines = replay.log_lines if self._resumes else 0
        self._trace = TraceWriter(self.start_ns, self.clock_step_ns, recorded=len(replay.trace) if self._resumes else 0)

    def cpu_ns(self) -> int:
        """As of any guest; what a replay takes counts for nothing when it is to be resumed."""
        return self._replay.cpu_ns if self._resumes and not self._live else super().cpu_ns()

    def clocks_ns(self) -> tuple[int, int]:
        """As `cpu_ns`."""
        if self._resumes and not self._live:
            return self._replay.active_ns, self._replay.wall_ns
        return super().clocks_ns()

    def log(self, level: int, text: str) -> None:
        """As of any guest; lines that are recorded are counted and not passed on."""
        if not self._live and self._resumes and self._caught_up():
            self._go_live()
        super().log(level, text)

    def wait(self, timeout_ns: int) -> Event | None:
        """What the record says was heard next."""
        if self.ending is not None:
            return None
        if not self._live:
            self._flush()
            if self._next is not None:
                return self._hear_again(self._next, timeout_ns)
            if not self._caught_up():
                self._diverge("the program waits", self._expected())
                return None
            if not self._resumes:
                self._stop("the record is over, and the program waits")
                return None
            self._go_live()
        if self._first_wait:
            self._first_wait = False
            timeout_ns = self._wake_up(timeout_ns)
        return super().wait(timeout_ns)

    def checked(self, outcome: Outcome) -> Outcome:
        """The outcome, or that the program ended where the record goes on."""
        if self._live or outcome.ending.status in _FROM_OUTSIDE or self._caught_up():
            return outcome
        said = f"{outcome.ending.status}: {(outcome.result or outcome.error)[:MOST_SHOWN]}"
        report = self._report(f"the program ended ({said})", self._expected(), None)
        return Outcome(ending=Ending(Status.DIVERGED), error=report, usage=outcome.usage)

    def _pass_call(self, call_id: int, kind: int, name: str, payload: str) -> None:
        if self._live:
            super()._pass_call(call_id, kind, name, payload)
            return
        number = self.host_calls
        if number == self._replay.until:
            self._stop(f"the program was to be stopped before call {number}", _shown(kind, name, payload))
        elif number <= len(self._replay.calls):
            self._compare(self._replay.calls[number - 1], call_id, kind, name, payload)
        elif not self._caught_up():
            self._diverge("the program makes a call", self._expected(), _shown(kind, name, payload))
        elif self._resumes:
            self._go_live()
            super()._pass_call(call_id, kind, name, payload)
        else:
            self._stop("the record is over, and the program makes a call", _shown(kind, name, payload))

    def _compare(self, call: ReplayedCall, call_id: int, kind: int, name: str, payload: str) -> None:
        same = (call.call_id, call.kind, call.name) == (call_id, kind, _as_passed_on(name))
        if same and call.digest == payload_digest(payload):
            self._made[call_id] = call
        else:
            self._diverge("the program makes another call", _recorded(call), _shown(kind, name, payload))

    def _hear_again(self, heard: Heard, timeout_ns: int) -> Event | None:
        event: Event | None = None
        if heard.call_id:
            event = self._answer_again(heard.call_id)
            if self.ending is not None:
                return None
            if event is None:
                self._diverge(f"the record has an answer to call id {heard.call_id} here, and there is no such call")
                return None
        elif timeout_ns >= FOREVER_NS or timeout_ns > heard.steps * self.clock_step_ns:
            self._diverge("the program waits for longer than it did")
            return None
        self._next = self._following()
        self.now_ns += heard.steps * self.clock_step_ns
        if not self._resumes:
            self._hears(event)
        return event

    def _answer_again(self, call_id: int) -> Event | None:
        call = self._made.get(call_id)
        if call is not None and call.answered:
            del self._made[call_id]
            return _event(call)
        if call is not None and call.later:
            del self._made[call_id]
            self._await_answer(call_id)
        elif call is not None:
            return None
        event = self._queued(call_id)
        return None if event is None else self._counted(event)

    def _await_answer(self, call_id: int) -> None:
        """Wait for an answer that did not come with the record, as any guest waits: without a slot."""
        before = time.monotonic()
        self._has_slot = False
        self._slots.release()
        with self._condition:
            while self.ending is None and not any(event.call_id == call_id for event in self._events):
                if not self._condition.wait(self._wall_deadline - time.monotonic()):
                    break
        self._blocked += time.monotonic() - before
        self._has_slot = self._slots.acquire(self._wall_deadline)
        if not self._has_slot or time.monotonic() >= self._wall_deadline:
            self._over_time()

    def _queued(self, call_id: int) -> Event | None:
        with self._condition:
            for index, event in enumerate(self._events):
                if event.call_id == call_id:
                    del self._events[index]
                    return event
        return None

    def _following(self) -> Heard | None:
        try:
            return next(self._entries, None)
        except ValueError as error:
            self._diverge(f"the record is damaged: {error}")
            return None

    def _caught_up(self) -> bool:
        """Whether all that is recorded has happened again."""
        replay = self._replay
        done = self._next is None and self.host_calls >= len(replay.calls)
        return done and self.log_count >= replay.log_lines

    def _go_live(self) -> None:
        """The record is over: the clocks start from what had been used, and answers nobody heard are there."""
        replay, now = self._replay, time.monotonic()
        waited = self.started - self.began
        self._live = self._first_wait = True
        self.began = now - replay.wall_ns / 1e9
        self.started = self.began + waited
        self._blocked = (replay.wall_ns - replay.active_ns) / 1e9
        self._cpu_start = time.thread_time() - replay.cpu_ns / 1e9
        self._wall_deadline = self.began + self.limits.wall_ms / 1e3
        self._clock_from = now - (time.time_ns() - self.start_ns) / 1e9
        self._trace = TraceWriter(self.now_ns, self.clock_step_ns, recorded=len(replay.trace))
        unheard = [_event(call) for call in self._made.values() if call.answered]
        with self._condition:
            self._events.extendleft(reversed(unheard))
        self._made.clear()
        self._replay = dataclasses.replace(replay, calls=(), trace=b"")  # its answers may be large
        self._channel.live()

    def _wake_up(self, timeout_ns: int) -> int:
        """Move the clock to the present; what is left of a time-out that began before."""
        was = self.now_ns
        self.now_ns = max(was, self._real_ns())
        return timeout_ns if timeout_ns >= FOREVER_NS else max(0, timeout_ns - (self.now_ns - was))

    def _keep_time(self) -> None:
        if not self._live and self._resumes and self._caught_up():
            self._go_live()  # it computes, and what it uses from here on counts
        if self._live:
            super()._keep_time()
        elif time.monotonic() >= self._wall_deadline:
            self._over_time()
        elif (time.thread_time() - self._cpu_start) * 1e3 >= self._replay_ms:
            self.end(Status.LIMIT_CPU, "replay_cpu_ms", self._replay_ms)

    # How a replay ends.

    def _over_time(self) -> None:
        self.end(Status.LIMIT_WALL, "replay_wall_ms", self._replay_ms * _WALL_FACTOR)

    def _expected(self) -> dict[str, Any] | None:
        calls = self._replay.calls
        return _recorded(calls[self.host_calls]) if self.host_calls < len(calls) else None

    def _diverge(self, what: str, expected: dict[str, Any] | None = None, found: dict[str, Any] | None = None) -> None:
        self.report = self._report(what, expected, found)
        self.end(Status.DIVERGED)

    def _report(self, what: str, expected: dict[str, Any] | None, found: dict[str, Any] | None) -> str:
        return own_error("Diverged", what, at=self._at(found), expected=expected, found=found)

    def _stop(self, why: str, found: dict[str, Any] | None = None) -> None:
        self.report = own_error("Stopped", why, at=self._at(found), found=found)
        self.end(Status.STOPPED)

    def _at(self, found: dict[str, Any] | None) -> int:
        """The number of the call that is next; one that was found and not made is not counted."""
        if found is not None:
            self.host_calls -= 1
        return self.host_calls + 1


def _event(call: ReplayedCall) -> Event:
    return Event(call.call_id, call.ok, call.payload, recorded=True)


def _as_passed_on(name: str) -> str:
    """A name as the gateway saw it, and recorded it."""
    return name.encode(errors="replace")[:_NAME_BYTES].decode(errors="replace")


def _recorded(call: ReplayedCall) -> dict[str, Any]:
    return {"kind": call.kind, "name": call.name, "digest": call.digest.hex()}


def _shown(kind: int, name: str, payload: str) -> dict[str, Any]:
    return {"kind": kind, "name": name, "digest": payload_digest(payload).hex(), "payload": payload[:MOST_SHOWN]}
