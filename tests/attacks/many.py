"""Runs one program in many isolates, one after the other, and prints what each said: `python -m tests.attacks.many`.

A process of its own, so that two of them can be compared: other addresses, another hash seed of the host, another time.
"""

import asyncio
import json
import os
import sys
import threading
import time
from typing import Any

from runtime.isolate import Event, Guest, GuestLimits, LogLine, RunSlots
from runtime.isolate.compiled import compiled_image
from runtime.isolate.engine import THREAD_STACK_BYTES, Ticker, make_engine
from runtime.isolate.images import load_image
from runtime.isolate.isolate import Nowhere
from runtime.isolate.shipped import wasm_path
from tests.cell import IMAGES

START_NS = 1_700_000_000_123_456_789
LIMITS = GuestLimits(
    cpu_ms=10_000,
    active_ms=20_000,
    wall_ms=30_000,
    memory_bytes=96 << 20,
    log_lines=100,
    log_bytes=1 << 16,
    log_line_bytes=1 << 12,
    result_bytes=1 << 16,
    host_calls=20,
    call_bytes=1 << 16,
)


class Answers(Nowhere):
    """Answers host calls with their names: each `together` of them at once, the last one first."""

    def __init__(self, together: int, pause: float) -> None:
        self.guest: Guest | None = None
        self.lines: list[str] = []
        self._together = together
        self._pause = pause
        self._waiting: list[Event] = []

    def submit(self, call_id: int, kind: int, name: str, payload: str) -> None:  # noqa: ARG002 - told by Channel
        self._waiting.append(Event(call_id, ok=True, payload=json.dumps(name)))
        if len(self._waiting) == self._together:
            threading.Timer(self._pause, self._deliver).start()

    def _deliver(self) -> None:
        assert self.guest is not None
        waiting, self._waiting = self._waiting, []
        for event in reversed(waiting):
            self.guest.deliver(event)

    def log(self, lines: list[LogLine]) -> None:
        self.lines += [line.text for line in lines]


def run(request: dict[str, Any]) -> list[dict[str, Any]]:
    engine = make_engine()
    language = request["language"]
    compiled = asyncio.run(compiled_image(language, wasm_path(language), IMAGES))
    image = load_image(engine, compiled)
    outcomes = []
    with Ticker(engine):
        for seed in request["seeds"]:
            channel = Answers(request.get("together", 1), request.get("pause", 0.0))
            isolate = image.isolate()
            if request.get("warm", True):
                isolate.warm()
            guest = Guest(
                limits=LIMITS,
                seed=bytes.fromhex(seed),
                start_ns=START_NS,
                channel=channel,
                slots=RunSlots(1),
                received=time.monotonic(),
                clock_ms=request.get("clock_ms", 1),
            )
            channel.guest = guest
            guest.begin()
            outcome = isolate.run(guest, request["program"], "null")
            guest.finish()
            isolate.close()
            outcomes.append({"result": outcome.result, "error": outcome.error, "lines": channel.lines})
    return outcomes


def main() -> None:
    request = json.loads(sys.stdin.read())
    threading.stack_size(THREAD_STACK_BYTES)
    outcomes: list[Any] = []
    thread = threading.Thread(target=lambda: outcomes.append(run(request)))
    thread.start()
    thread.join()
    sys.stdout.write(json.dumps(outcomes[0]))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
