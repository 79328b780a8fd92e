"""What the host keeps for one guest, on the worker's side of the socket, when the guest keeps no bounds."""

import json
import time

import pytest

from runtime.isolate import Event, Guest, GuestLimits, LogLine, RunSlots, Status
from runtime.isolate.guest import MOST_ERROR_BYTES, TAKEN_STEP
from runtime.isolate.isolate import Nowhere, checked_answer, settle

LIMITS = GuestLimits(
    cpu_ms=60_000,
    active_ms=60_000,
    wall_ms=60_000,
    memory_bytes=1 << 30,
    log_lines=100,
    log_bytes=1_000,
    log_line_bytes=100,
    result_bytes=100,
    host_calls=3,
    call_bytes=1_000,
)


class Channel(Nowhere):
    """What would go to the gateway."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int, str, str]] = []
        self.lines: list[LogLine] = []
        self.sizes: list[int] = []

    def submit(self, call_id: int, kind: int, name: str, payload: str) -> None:
        self.calls.append((call_id, kind, name, payload))

    def log(self, lines: list[LogLine]) -> None:
        self.lines += lines

    def taken(self, size: int) -> None:
        self.sizes.append(size)


@pytest.fixture
def channel() -> Channel:
    return Channel()


@pytest.fixture
def guest(channel: Channel) -> Guest:
    guest = Guest(
        limits=LIMITS, seed=bytes(32), start_ns=0, channel=channel, slots=RunSlots(1), received=time.monotonic()
    )
    assert guest.begin()
    return guest


def refusal(event: Event | None) -> str:
    assert event is not None
    assert not event.ok
    return str(json.loads(event.payload)["details"]["limit"])


def test_calls_beyond_the_limit_are_answered_here(guest: Guest, channel: Channel):
    for number in range(1, 6):
        guest.submit(number, 1, "x.y", "{}")
    assert len(channel.calls) == LIMITS.host_calls
    assert [refusal(guest.wait(0)) for _ in range(2)] == ["host_calls", "host_calls"]


@pytest.mark.parametrize("numbers", [(0,), (-1,), (2**32,), (1, 1), (1, 2, 2), (1, 3, 2)])
def test_a_guest_that_cannot_count_its_calls_is_ended(guest: Guest, channel: Channel, numbers: tuple[int, ...]):
    for number in numbers:
        guest.submit(number, 1, "x.y", "{}")
    assert len(channel.calls) == len(numbers) - 1
    outcome = settle(guest, trapped=True)
    assert outcome.ending.status is Status.PROGRAM_ERROR
    assert json.loads(outcome.error)["name"] == "InterpreterBroken"


@pytest.mark.parametrize(("name", "payload"), [("n" * 10_000, "{}"), ("x.y", "p" * 10_000)])
def test_a_call_too_large_is_answered_here(guest: Guest, channel: Channel, name: str, payload: str):
    guest.submit(1, 1, name, payload)
    assert channel.calls == []
    event = guest.wait(0)
    assert refusal(event) == "call_bytes"
    assert len(event.payload) < 2_000  # type: ignore[union-attr]


@pytest.mark.parametrize("payload", ["{}", "p" * 10_000])
def test_refusals_nobody_takes_end_the_guest_before_they_pile_up(guest: Guest, payload: str):
    for number in range(1, 100_001):
        guest.submit(number, 1, "n" * 500, payload)
    assert guest.ending is not None
    assert (guest.ending.status, guest.ending.limit) == (Status.LIMIT_HOST_CALLS, "host_calls")
    assert len(guest._events) < 3_000


def test_refusals_that_are_taken_never_end_the_guest(guest: Guest):
    for number in range(1, 10_001):
        guest.submit(number, 1, "n", "p" * 10_000)
        assert refusal(guest.wait(0)) == "call_bytes"
    assert guest.ending is None


def test_the_gateway_is_told_of_answers_taken_and_of_no_others(guest: Guest, channel: Channel):
    for number in range(5):
        guest.deliver(Event(number, ok=True, payload="x" * (TAKEN_STEP // 2)))
    guest.submit(1, 1, "x.y", "p" * 10_000)
    assert channel.sizes == []
    while guest.wait(0) is not None:
        pass
    assert channel.sizes == [TAKEN_STEP, 2 * TAKEN_STEP]


@pytest.mark.parametrize("letter", ["\u20ac", "\U0001f600", "\ud800"])
def test_a_call_and_a_result_are_measured_in_bytes(guest: Guest, channel: Channel, letter: str):
    size = len(letter.encode(errors="replace"))
    guest.submit(1, 1, "x.y", letter * (LIMITS.call_bytes // size))
    guest.submit(2, 1, "x.y", letter * (LIMITS.call_bytes // size + 1))
    assert [call[0] for call in channel.calls] == [1]
    guest.answer = (True, letter * (LIMITS.result_bytes // size + 1))
    assert settle(guest, trapped=False).ending.status is Status.LIMIT_RESULT


@pytest.mark.parametrize("kind", [-(2**31), -255, -1, 256, 257, 258, 2**31, 2**32 - 1])
def test_a_kind_that_does_not_exist_never_becomes_one_that_does(guest: Guest, channel: Channel, kind: int):
    guest.submit(1, kind, "x.y", "{}")
    assert channel.calls[0][1] & 0xFF not in {1, 2}


@pytest.mark.parametrize("text", ["x" * 10**7, "\u20ac" * 10**6, "\U0001f600" * 10**6, "a\ud800" * 10**5])
def test_a_log_line_is_cut_to_its_bytes(guest: Guest, channel: Channel, text: str):
    guest.log(2, text)
    guest.finish()
    (line,) = channel.lines
    assert 90 < len(line.text.encode()) <= LIMITS.log_line_bytes


def test_log_bytes_are_counted_in_bytes(guest: Guest, channel: Channel):
    for _ in range(50):
        guest.log(2, "\u20ac" * 30)
    guest.finish()
    assert guest.ending is not None
    assert guest.ending.limit == "log_bytes"
    assert sum(len(line.text.encode()) for line in channel.lines) <= LIMITS.log_bytes


def test_nothing_a_guest_does_after_its_end_is_passed_on(guest: Guest, channel: Channel):
    guest.end(Status.LIMIT_CPU, "cpu_ms", 1)
    guest.log(2, "late")
    guest.submit(1, 1, "x.y", "{}")
    guest.end(Status.SUCCEEDED)
    guest.finish()
    assert (channel.calls, channel.lines) == ([], [])
    assert guest.ending is not None
    assert guest.ending.status is Status.LIMIT_CPU


ANSWERS = {
    "JSON": ("1", True),
    "nested JSON": ("[" * 40 + "]" * 40, True),
    "no JSON": ("x", False),
    "nothing": ("", False),
    "not a number": ("NaN", False),
    "infinity": ("[Infinity]", False),
    "two values": ("1 2", False),
    "half a value": ('{"a":', False),
}


@pytest.mark.parametrize(("text", "ok"), ANSWERS.values(), ids=ANSWERS)
def test_only_json_is_a_result(guest: Guest, text: str, ok: bool):
    guest.answer = checked_answer(True, text, LIMITS)  # noqa: FBT003 - as the guest says it
    ending = settle(guest, trapped=False).ending
    assert ending.status is (Status.SUCCEEDED if ok else Status.PROGRAM_ERROR)


def test_an_error_too_large_is_not_passed_on(guest: Guest):
    guest.answer = (False, "x" * (MOST_ERROR_BYTES + 1))
    outcome = settle(guest, trapped=False)
    assert outcome.ending.status is Status.PROGRAM_ERROR
    assert len(outcome.error) < 1_000


ENDS = {
    "nothing known": ("", None, Status.TRAPPED),
    "an exit": ("wasi:cli/exit exit", None, Status.PROGRAM_ERROR),
    "a panic": ("stderr: thread panicked", None, Status.PROGRAM_ERROR),
    "no memory": ("stderr: memory allocation of ", None, Status.LIMIT_MEMORY),
    "no memory, as the guest says": ("", (False, '{"limit": "memory"}'), Status.LIMIT_MEMORY),
    "a claim of another limit": ("", (False, '{"limit": "cpu_ms"}'), Status.TRAPPED),
}


@pytest.mark.parametrize(("reached", "answer", "status"), ENDS.values(), ids=ENDS)
def test_a_trap_is_told_by_what_the_host_saw(guest: Guest, reached: str, answer: tuple[bool, str] | None, status):
    guest.reached, guest.answer = reached, answer
    assert settle(guest, trapped=True).ending.status is status
