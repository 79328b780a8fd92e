"""Runs a program in an isolate of this process against a scripted gateway, and keeps all that a journal would."""

import asyncio
import hashlib
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from runtime.isolate import (
    Event,
    Guest,
    GuestLimits,
    LogLine,
    Outcome,
    Replay,
    ReplayedCall,
    ReplayMode,
    RunSlots,
    Trace,
    payload_digest,
)
from runtime.isolate.compiled import compiled_image
from runtime.isolate.engine import THREAD_STACK_BYTES, Ticker, make_engine
from runtime.isolate.images import Image, load_image
from runtime.isolate.replaying import ReplayingGuest
from runtime.isolate.shipped import wasm_path
from runtime.worker.frames import Call
from tests.cell import IMAGES

LIMITS = GuestLimits(
    cpu_ms=5_000,
    active_ms=10_000,
    wall_ms=20_000,
    memory_bytes=96 << 20,
    log_lines=100,
    log_bytes=1 << 16,
    log_line_bytes=1 << 12,
    result_bytes=1 << 16,
    host_calls=6,
    call_bytes=1 << 12,
)
SEED = bytes(range(32))
type Said = Trace | Call | LogLine | str


@dataclass(kw_only=True)
class Record:
    """What a gateway keeps of one execution: all that was said, in order, and the answers it gave."""

    start_ns: int
    said: list[Said] = field(default_factory=list)
    answers: dict[int, tuple[bool, str]] = field(default_factory=dict)

    @property
    def calls(self) -> list[Call]:
        return [each for each in self.said if isinstance(each, Call)]

    @property
    def lines(self) -> list[tuple[int, int, str]]:
        """Number, level and text; when the host took a line is no part of the program."""
        return [(line.number, line.level, line.text) for line in self.said if isinstance(line, LogLine)]

    @property
    def trace(self) -> bytes:
        return b"".join(each.data for each in self.said if isinstance(each, Trace))

    def used(self) -> Trace:
        """The clocks as last told."""
        return next((each for each in reversed(self.said) if isinstance(each, Trace)), Trace(0, 0, 0, 0, True, b""))  # noqa: FBT003

    def replay(self, mode: ReplayMode, *, unanswered: frozenset[int] = frozenset(), until: int = 0) -> Replay:
        """The record to replay; without the answers of the call ids named."""
        used = self.used()
        return Replay(
            mode=mode,
            calls=tuple(self._replayed(call, unanswered) for call in self.calls),
            trace=self.trace,
            until=until,
            cpu_ns=used.cpu_ns,
            active_ns=used.active_ns,
            wall_ns=used.wall_ns,
            log_lines=len(self.lines),
        )

    def _replayed(self, call: Call, unanswered: frozenset[int]) -> ReplayedCall:
        made = ReplayedCall(call.call_id, call.kind, call.name, payload_digest(call.payload))
        if call.call_id in unanswered or call.call_id not in self.answers:
            return made
        ok, payload = self.answers[call.call_id]
        return made._replace(answered=True, ok=ok, payload=payload)


class Gateway:
    """A channel that keeps what it hears. It answers at once or after up to a few milliseconds, as `chance` has it."""

    def __init__(self, record: Record, chance: random.Random, most_delay_ms: int = 3) -> None:
        self.guest: Guest | None = None
        self.record = record
        self.taken_sizes: list[int] = []
        self._chance = chance
        self._most_delay_ms = most_delay_ms

    def submit(self, call_id: int, kind: int, name: str, payload: str) -> None:
        self.record.said.append(Call(call_id, kind, name, payload))
        self.answer(call_id, name)

    def answer(self, call_id: int, name: str) -> None:
        """Perform a call: what is named `never` has no answer, what is named `fail` fails."""
        if name.endswith("never"):
            return
        ok, payload = True, json.dumps({"call": call_id})
        if name.endswith("fail"):
            error = {"code": "upstream_error", "message": f"call {call_id} failed", "status": 500}
            ok, payload = False, json.dumps({**error, "retryable": False, "tool": name, "details": None})
        delay_ms = self._chance.randint(0, self._most_delay_ms)
        if delay_ms:
            timer = threading.Timer(delay_ms / 1e3, self._deliver, [Event(call_id, ok, payload)])
            timer.daemon = True
            timer.start()
        else:
            self._deliver(Event(call_id, ok, payload))

    def _deliver(self, event: Event) -> None:
        assert self.guest is not None
        self.record.answers[event.call_id] = (event.ok, event.payload)
        self.guest.deliver(event)

    def log(self, lines: list[LogLine]) -> None:
        self.record.said += lines

    def taken(self, size: int) -> None:
        self.taken_sizes.append(size)

    def trace(self, trace: Trace) -> None:
        self.record.said.append(trace)

    def live(self) -> None:
        self.record.said.append("live")

    def blocked(self) -> None:
        self.record.said.append("blocked")


class Runner:
    """Runs programs of one language on a thread with a guest's stack."""

    keep_memory = False
    """Whether the digest of the isolate's memory is kept, which takes as long as a program."""
    memory = b""
    clock_ms = 1

    def __init__(self, image: Image, ticker: Ticker, pool: ThreadPoolExecutor) -> None:
        self._image = image
        self._ticker = ticker
        self._pool = pool

    def record(self, program: str, chance: random.Random, **limits: int) -> tuple[Outcome, Record]:
        """A first run."""
        record = Record(start_ns=time.time_ns() // 10**6 * 10**6)
        gateway = Gateway(record, chance)
        guest = Guest(**self._own(record, gateway, limits))
        return self.run(guest, gateway, program), record

    def replay(
        self, program: str, record: Record, replay: Replay, chance: random.Random, **limits: int
    ) -> tuple[Outcome, Record]:
        """What was said when a record was replayed. Recorded calls without an answer get one, at any time."""
        again = Record(start_ns=record.start_ns, answers=dict(record.answers))
        gateway = Gateway(again, chance)
        guest = ReplayingGuest(replay, **self._own(record, gateway, limits))
        gateway.guest = guest
        if replay.mode is ReplayMode.RESUME:
            for call in replay.calls:
                if not call.answered:
                    gateway.answer(call.call_id, call.name)
        return self.run(guest, gateway, program), again

    def _own(self, record: Record, gateway: Gateway, limits: dict[str, int]) -> dict[str, object]:
        return {
            "limits": replace(LIMITS, **limits),
            "seed": SEED,
            "start_ns": record.start_ns,
            "channel": gateway,
            "slots": RunSlots(1),
            "received": time.monotonic(),
            "clock_ms": self.clock_ms,
        }

    def run(self, guest: Guest, gateway: Gateway, program: str) -> Outcome:
        """Run one guest to its end, as a worker does."""
        gateway.guest = guest
        return self._pool.submit(self._run, guest, program).result(timeout=60)

    def _run(self, guest: Guest, program: str) -> Outcome:
        isolate = self._image.isolate()
        isolate.warm()
        try:
            with self._ticker:
                guest.begin()
                outcome = guest.checked(isolate.run(guest, program, "null"))
                guest.finish()
            if self.keep_memory:
                self.memory = _digest(isolate)
        finally:
            isolate.close()
        return outcome


def _digest(isolate: Any) -> bytes:
    memory = getattr(isolate, "memory", None) or isolate._memory
    return hashlib.blake2b(memory.read(0, memory.size())).digest()


@contextmanager
def runner(language: str, *, fuel: bool = False) -> Iterator[Runner]:
    """A runner of a shipped image, one that counts fuel if so wished."""
    engine = make_engine(fuel=fuel)
    compiled = asyncio.run(compiled_image(language, wasm_path(language), IMAGES, fuel=fuel))
    before = threading.stack_size(THREAD_STACK_BYTES)
    with ThreadPoolExecutor(2) as pool:
        for _ in range(2):
            pool.submit(time.monotonic).result()
        threading.stack_size(before)
        yield Runner(load_image(engine, compiled), Ticker(engine), pool)
