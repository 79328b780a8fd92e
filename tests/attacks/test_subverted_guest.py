"""A guest image that was taken over: its host calls carry pointers and lengths no honest one would give."""

import time
from collections.abc import Iterator

import pytest
import wasmtime

from runtime.isolate import Guest, GuestLimits, LogLine, Outcome, RunSlots, Status
from runtime.isolate.engine import Ticker, make_engine
from runtime.isolate.isolate import Nowhere
from runtime.isolate.javascript import JavaScriptImage

LIMITS = GuestLimits(
    cpu_ms=5_000,
    active_ms=5_000,
    wall_ms=5_000,
    memory_bytes=48 << 20,
    log_lines=10,
    log_bytes=1_000,
    log_line_bytes=100,
    result_bytes=100,
    host_calls=5,
    call_bytes=100,
)
_MODULE = """
(module
  (import "lockgate" "submit" (func $submit (param i32 i32 i32 i32 i32 i32)))
  (import "lockgate" "log" (func $log (param i32 i32 i32)))
  (import "lockgate" "done" (func $done (param i32 i32 i32)))
  (memory (export "memory") 1)
  (func (export "alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "resume") (param i32 i32 i64) (result i64) (i64.const -2))
  (func (export "run") (param i32 i32 i64) (result i64) BODY (i64.const -2)))
"""


class Channel(Nowhere):
    """What would go to the gateway."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.lines: list[LogLine] = []

    def submit(self, call_id: int, kind: int, name: str, payload: str) -> None:  # noqa: ARG002 - told by Channel
        self.calls.append((name, payload))

    def log(self, lines: list[LogLine]) -> None:
        self.lines += lines


@pytest.fixture(scope="module")
def engine() -> Iterator[wasmtime.Engine]:
    engine = make_engine()
    with Ticker(engine):
        yield engine


def run(engine: wasmtime.Engine, body: str) -> tuple[Outcome, Channel, Guest]:
    image = JavaScriptImage(engine, wasmtime.Module(engine, _MODULE.replace("BODY", body)))
    channel = Channel()
    guest = Guest(
        limits=LIMITS, seed=bytes(32), start_ns=0, channel=channel, slots=RunSlots(1), received=time.monotonic()
    )
    assert guest.begin()
    isolate = image.isolate()
    outcome = isolate.run(guest, "1", "null")
    guest.finish()
    isolate.close()
    return outcome, channel, guest


def call(name: str, *arguments: int) -> str:
    return f"(call ${name} {' '.join(f'(i32.const {number})' for number in arguments)})"


OUTSIDE = {
    "a name outside the memory": call("submit", 1, 1, 65_530, 10, 0, 1),
    "a payload outside the memory": call("submit", 1, 1, 0, 1, -1, 2),
    "a payload at the very end": call("submit", 1, 1, 0, 1, 65_500, 99),
    "a line outside the memory": call("log", 2, -1, 50),
    "a result outside the memory": call("done", 1, 65_530, 10),
    "a result of the longest length": call("done", 1, 0, -1),
    "an error of a length below zero": call("done", 0, 0, -(2**31)),
}


@pytest.mark.parametrize("body", OUTSIDE.values(), ids=OUTSIDE)
def test_what_lies_outside_its_memory_ends_the_guest(engine: wasmtime.Engine, body: str):
    after = call("log", 2, 0, 1)
    outcome, channel, _ = run(engine, body + after)
    assert outcome.ending.status is Status.TRAPPED
    assert (channel.calls, channel.lines) == ([], [])


LENGTHS = [-1, -100, -(2**31), 2**31 - 1, 70_000, 101]


@pytest.mark.parametrize("length", LENGTHS)
def test_a_payload_of_any_length_is_bounded(engine: wasmtime.Engine, length: int):
    _, channel, guest = run(engine, call("submit", 1, 1, 0, 1, 0, length))
    assert channel.calls == []
    assert guest.host_calls == 0
    event = guest._events[0]
    assert '"call_bytes"' in event.payload


@pytest.mark.parametrize("length", [-1, -100, -(2**31), 2**31 - 1, 65_537, 513])
def test_a_name_of_any_length_is_bounded(engine: wasmtime.Engine, length: int):
    outcome, channel, _ = run(engine, call("submit", 1, 1, 0, length, 0, 1))
    assert channel.calls == []
    assert len(outcome.error) < 1_000


@pytest.mark.parametrize("length", LENGTHS)
def test_a_log_line_of_any_length_is_cut(engine: wasmtime.Engine, length: int):
    _, channel, _ = run(engine, call("log", 2, 0, length))
    (line,) = channel.lines
    assert len(line.text.encode()) <= LIMITS.log_line_bytes
