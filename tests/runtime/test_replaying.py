"""A guest against its record: what it hears, how it goes on, how it ends, and what it is charged."""

import hashlib
import itertools
import json
import threading
import time
from dataclasses import replace

import pytest

from runtime.isolate import (
    Ending,
    Event,
    Guest,
    GuestLimits,
    LogLine,
    Outcome,
    Replay,
    ReplayedCall,
    ReplayMode,
    RunSlots,
    Status,
    Trace,
    Usage,
    payload_digest,
)
from runtime.isolate.guest import FOREVER_NS
from runtime.isolate.isolate import settle
from runtime.isolate.replaying import MOST_SHOWN, ReplayingGuest
from runtime.isolate.trace import TRACE_PART, Heard, decode, encode

MS = 1_000_000
START = 1_700_000_000_000 * MS
LIMITS = GuestLimits(
    cpu_ms=60_000,
    active_ms=60_000,
    wall_ms=60_000,
    memory_bytes=1 << 30,
    log_lines=100,
    log_bytes=10_000,
    log_line_bytes=100,
    result_bytes=100,
    host_calls=20,
    call_bytes=10_000,
)
USAGE = Usage(
    cpu_ns=1, active_ns=1, wall_ns=1, startup_ns=1, memory_bytes=1, memory_exact=True, host_calls=0, log_lines=0
)
SUCCEEDED = Outcome(ending=Ending(Status.SUCCEEDED), result="1", usage=USAGE)


class Channel:
    """What would go to the gateway, in order."""

    def __init__(self) -> None:
        self.said: list[object] = []
        self.is_blocked = threading.Event()

    def submit(self, call_id: int, kind: int, name: str, payload: str) -> None:
        self.said.append(("call", call_id, kind, name, payload))

    def log(self, lines: list[LogLine]) -> None:
        self.said += [("line", line.number, line.text) for line in lines]

    def taken(self, size: int) -> None:
        self.said.append(("taken", size))

    def trace(self, trace: Trace) -> None:
        self.said.append(trace)

    def live(self) -> None:
        self.said.append("live")

    def blocked(self) -> None:
        self.said.append("blocked")
        self.is_blocked.set()

    def heard(self) -> list[Heard]:
        return decode(b"".join(each.data for each in self.said if isinstance(each, Trace)))


@pytest.fixture
def channel() -> Channel:
    return Channel()


def begun(guest: Guest) -> Guest:
    assert guest.begin()
    return guest


def plain(channel: Channel, limits: GuestLimits = LIMITS, clock_ms: int = 1) -> Guest:
    return begun(
        Guest(
            limits=limits,
            seed=bytes(32),
            start_ns=START,
            channel=channel,
            slots=RunSlots(1),
            received=time.monotonic(),
            clock_ms=clock_ms,
        )
    )


def replaying(channel: Channel, record: Replay, limits: GuestLimits = LIMITS, start_ns: int = START) -> Guest:
    return begun(
        ReplayingGuest(
            record,
            limits=limits,
            seed=bytes(32),
            start_ns=start_ns,
            channel=channel,
            slots=RunSlots(1),
            received=time.monotonic(),
        )
    )


def made(number: int, *, answer: str | None = None, name: str = "t.get") -> ReplayedCall:
    call = ReplayedCall(number, 1, name, payload_digest(f"[{number}]"))
    return call if answer is None else call._replace(answered=True, ok=True, payload=answer)


def record(*calls: ReplayedCall, heard: tuple[Heard, ...] = (), verify: bool = False, **more: int) -> Replay:
    mode = ReplayMode.VERIFY if verify else ReplayMode.RESUME
    return Replay(mode=mode, calls=calls, trace=encode(list(heard)), **more)


def call(guest: Guest, number: int, payload: str | None = None, name: str = "t.get", kind: int = 1) -> None:
    guest.submit(number, kind, name, f"[{number}]" if payload is None else payload)


def report(guest: Guest, status: Status = Status.DIVERGED) -> dict[str, object]:
    outcome = settle(guest, trapped=True)
    assert outcome.ending.status is status
    return dict(json.loads(outcome.error))


# Recording.


def test_a_guest_that_hears_nothing_records_nothing(channel: Channel) -> None:
    guest = plain(channel)
    guest.log(2, "a line")
    guest.finish()
    assert channel.said == [("line", 1, "a line")]


def test_what_was_heard_is_told_ahead_of_what_is_done_next(channel: Channel) -> None:
    guest = plain(channel)
    call(guest, 1)
    call(guest, 2)
    guest.deliver(Event(2, ok=True, payload="2"))
    guest.wait(FOREVER_NS)
    guest.wait(0)
    guest.log(2, "a line")
    call(guest, 3)
    guest.wait(5 * MS)
    guest.finish()
    kinds = [each[0] if isinstance(each, tuple) and not isinstance(each, Trace) else "trace" for each in channel.said]
    assert kinds == ["trace", "call", "call", "trace", "line", "call", "trace"]
    heard = channel.heard()
    assert [entry.call_id for entry in heard] == [2, 0, 0]
    assert heard[2].steps >= 5
    traces = [each for each in channel.said if isinstance(each, Trace)]
    assert [each.log_lines for each in traces] == [0, 1, 1]
    assert all(a.wall_ns <= b.wall_ns and a.cpu_ns <= b.cpu_ns for a, b in itertools.pairwise(traces))


def test_a_refusal_made_here_is_part_of_what_was_heard(channel: Channel) -> None:
    guest = plain(channel)
    call(guest, 1, payload="x" * 20_000)
    assert guest.wait(0) is not None
    guest.finish()
    assert [entry.call_id for entry in channel.heard()] == [1]


def test_a_program_that_only_sleeps_is_recorded_in_parts(channel: Channel) -> None:
    guest = plain(channel)
    for _ in range(TRACE_PART):
        guest.wait(0)
    assert sum(isinstance(each, Trace) for each in channel.said) == 2
    assert len(channel.heard()) == TRACE_PART


def test_the_end_is_not_heard(channel: Channel) -> None:
    guest = plain(channel)
    guest.end(Status.CANCELLED)
    assert guest.wait(FOREVER_NS) is None
    guest.finish()
    assert channel.said == []


def test_the_trace_counts_the_steps_of_the_clock(channel: Channel) -> None:
    guest = plain(channel, clock_ms=50)
    guest.wait(1)
    guest.finish()
    (heard,) = channel.heard()
    assert guest.now_ns == guest.start_ns + heard.steps * 50 * MS


# Replaying.


def test_a_record_is_heard_again_at_the_same_times(channel: Channel) -> None:
    calls = [made(1, answer="one"), made(2, answer="two")]
    guest = replaying(channel, record(*calls, heard=(Heard(0, 7), Heard(2, 0), Heard(1, 1_000_000)), verify=True))
    call(guest, 1)
    call(guest, 2)
    assert (guest.wait(5 * MS), guest.now_ns) == (None, START + 7 * MS)
    assert guest.wait(FOREVER_NS) == Event(2, ok=True, payload="two", recorded=True)
    assert guest.now_ns == START + 7 * MS
    assert guest.wait(0) == Event(1, ok=True, payload="one", recorded=True)
    assert guest.now_ns == START + 1_000_007 * MS
    assert guest.checked(SUCCEEDED) is SUCCEEDED
    guest.finish()
    assert channel.heard() == [Heard(0, 7), Heard(2, 0), Heard(1, 1_000_000)]
    assert not [each for each in channel.said if not isinstance(each, Trace)]


def test_refusals_are_made_again(channel: Channel) -> None:
    guest = replaying(channel, record(made(2, answer="two"), heard=(Heard(2, 0), Heard(1, 1)), verify=True))
    call(guest, 1, payload="x" * 20_000)
    call(guest, 2)
    second, first = guest.wait(0), guest.wait(0)
    assert second == Event(2, ok=True, payload="two", recorded=True)
    assert first is not None
    assert (first.call_id, first.refused) == (1, True)


DIFFERENT = {
    "a name": {"name": "t.other"},
    "a kind": {"kind": 2},
    "arguments": {"payload": "[1] "},
}


@pytest.mark.parametrize("change", DIFFERENT.values(), ids=DIFFERENT)
@pytest.mark.parametrize("verify", [True, False])
def test_another_call_than_the_recorded_ends_the_replay(channel: Channel, change, verify: bool) -> None:
    guest = replaying(channel, record(made(1), verify=verify))
    call(guest, 1, **change)
    told = report(guest)
    found = {"kind": 1, "name": "t.get", "payload": "[1]", **change}
    assert (told["name"], told["at"]) == ("Diverged", 1)
    assert told["expected"] == {"kind": 1, "name": "t.get", "digest": payload_digest("[1]").hex()}
    assert told["found"] == {**found, "digest": hashlib.sha256(found["payload"].encode()).hexdigest()}
    assert channel.said == []


def test_what_diverges_is_shown_up_to_a_bound(channel: Channel) -> None:
    guest = replaying(channel, record(made(1)))
    call(guest, 1, payload="\u20ac" * 3_000)
    found = report(guest)["found"]
    assert isinstance(found, dict)
    assert found["payload"] == "\u20ac" * MOST_SHOWN


def test_a_call_numbered_otherwise_ends_the_replay(channel: Channel) -> None:
    guest = replaying(channel, record(made(1)))
    call(guest, 2, payload="[1]")
    assert report(guest)["at"] == 1


def test_a_call_that_comes_before_it_heard_all_ends_the_replay(channel: Channel) -> None:
    guest = replaying(channel, record(heard=(Heard(0, 1),)))
    call(guest, 1)
    told = report(guest)
    assert (told["message"], told["at"], told["expected"]) == ("the program makes a call", 1, None)


def test_a_wait_where_a_call_was_made_ends_the_replay(channel: Channel) -> None:
    guest = replaying(channel, record(made(1)))
    assert guest.wait(FOREVER_NS) is None
    told = report(guest)
    assert (told["message"], told["at"], told["found"]) == ("the program waits", 1, None)
    assert told["expected"] == {"kind": 1, "name": "t.get", "digest": payload_digest("[1]").hex()}


@pytest.mark.parametrize("timeout_ns", [FOREVER_NS, 3 * MS, 2 * MS + 1])
def test_a_wait_longer_than_the_recorded_ends_the_replay(channel: Channel, timeout_ns: int) -> None:
    guest = replaying(channel, record(heard=(Heard(0, 2),)))
    assert guest.wait(timeout_ns) is None
    assert report(guest)["message"] == "the program waits for longer than it did"


def test_an_answer_to_a_call_that_was_not_made_ends_the_replay(channel: Channel) -> None:
    guest = replaying(channel, record(made(1, answer="1"), heard=(Heard(1, 2),)))
    assert guest.wait(FOREVER_NS) is None
    assert "no such call" in str(report(guest)["message"])


def test_an_answer_the_record_lacks_ends_the_replay(channel: Channel) -> None:
    guest = replaying(channel, record(made(1), heard=(Heard(1, 2),)))
    call(guest, 1)
    guest.deliver(Event(1, ok=True, payload="live"))
    assert guest.wait(FOREVER_NS) is None
    assert report(guest)["name"] == "Diverged"


def test_a_damaged_trace_ends_the_replay(channel: Channel) -> None:
    guest = replaying(channel, Replay(mode=ReplayMode.RESUME, trace=b"\x00\x01\x80"))
    guest.wait(0)
    guest.wait(0)
    assert "trace" in str(report(guest)["message"])


@pytest.mark.parametrize("verify", [True, False])
def test_an_end_ahead_of_the_record_is_a_divergence(channel: Channel, verify: bool) -> None:
    guest = replaying(channel, record(made(1), verify=verify))
    outcome = guest.checked(SUCCEEDED)
    assert outcome.ending.status is Status.DIVERGED
    assert json.loads(outcome.error)["message"] == "the program ended (succeeded: 1)"


def test_fewer_lines_than_recorded_are_a_divergence(channel: Channel) -> None:
    guest = replaying(channel, record(log_lines=2))
    guest.log(2, "one")
    assert guest.checked(SUCCEEDED).ending.status is Status.DIVERGED


@pytest.mark.parametrize("status", [Status.CANCELLED, Status.LIMIT_CPU, Status.LIMIT_WALL])
def test_an_end_from_outside_is_no_divergence(channel: Channel, status: Status) -> None:
    guest = replaying(channel, record(made(1)))
    outcome = Outcome(ending=Ending(status), usage=USAGE)
    assert guest.checked(outcome) is outcome


def test_an_answer_that_comes_later_is_waited_for_and_counted_as_taken(channel: Channel) -> None:
    calls = [made(number)._replace(later=True) for number in (1, 2)]
    guest = replaying(channel, record(*calls, heard=(Heard(2, 1), Heard(1, 1))))
    call(guest, 1)
    call(guest, 2)
    big = "x" * (1 << 20)
    answers: list[Event | None] = []

    def hear() -> None:
        answers.extend(guest.wait(FOREVER_NS) for _ in range(2))

    waits = threading.Thread(target=hear)
    waits.start()
    assert guest._slots.acquire(time.monotonic() + 60)  # given back while it waits
    guest.deliver(Event(1, ok=True, payload=big))
    guest._slots.release()
    guest.deliver(Event(2, ok=True, payload=big))
    waits.join()
    assert [each and each.call_id for each in answers] == [2, 1]
    assert channel.said == [("taken", 1 << 20), ("taken", 2 << 20)]
    assert guest.now_ns == START + 2 * MS


def test_a_replay_that_is_cancelled_waits_for_no_answer(channel: Channel) -> None:
    guest = replaying(channel, record(made(1)._replace(later=True), heard=(Heard(1, 1),)))
    call(guest, 1)
    waits = threading.Thread(target=guest.wait, args=[FOREVER_NS])
    waits.start()
    guest.end(Status.CANCELLED)
    waits.join()
    assert guest.ending == Ending(Status.CANCELLED)


def test_an_answer_that_never_comes_ends_the_replay_at_its_limit(channel: Channel) -> None:
    guest = replaying(channel, record(made(1)._replace(later=True), heard=(Heard(1, 1),)))
    call(guest, 1)
    guest._wall_deadline = time.monotonic()
    assert guest.wait(FOREVER_NS) is None
    assert guest.ending == Ending(Status.LIMIT_WALL, "replay_wall_ms", 1_210_000)


# Verifying.


def test_until_stops_before_a_call(channel: Channel) -> None:
    guest = replaying(channel, record(made(1), made(2), verify=True, until=2))
    call(guest, 1)
    assert guest.ending is None
    call(guest, 2)
    told = report(guest, Status.STOPPED)
    assert (told["name"], told["at"], told["found"]) == (
        "Stopped",
        2,
        {"kind": 1, "name": "t.get", "digest": payload_digest("[2]").hex(), "payload": "[2]"},
    )
    assert guest.host_calls == 1


def test_verifying_stops_where_the_record_does_and_the_program_waits(channel: Channel) -> None:
    guest = replaying(channel, record(made(1), verify=True))
    call(guest, 1)
    assert guest.wait(FOREVER_NS) is None
    told = report(guest, Status.STOPPED)
    assert (told["at"], told["found"]) == (2, None)


def test_verifying_stops_where_the_record_does_and_the_program_calls(channel: Channel) -> None:
    guest = replaying(channel, record(verify=True))
    call(guest, 1)
    told = report(guest, Status.STOPPED)
    assert told["at"] == 1
    assert channel.said == []


def test_verifying_tells_all_lines(channel: Channel) -> None:
    guest = replaying(channel, record(verify=True, log_lines=1))
    guest.log(2, "one")
    guest.log(2, "two")
    guest.finish()
    assert channel.said == [("line", 1, "one"), ("line", 2, "two")]


# Resuming.


def test_calls_that_are_not_recorded_go_out_after_the_program_is_live(channel: Channel) -> None:
    guest = replaying(channel, record(made(1)))
    call(guest, 1)
    assert channel.said == []
    call(guest, 2)
    assert channel.said == ["live", ("call", 2, 1, "t.get", "[2]")]


def test_lines_are_not_told_twice(channel: Channel) -> None:
    guest = replaying(channel, record(log_lines=2, heard=(Heard(0, 1),)))
    guest.log(2, "one")
    guest.log(2, "two")
    guest.wait(0)
    assert channel.said == []
    guest.log(2, "three")
    guest.finish()
    assert channel.said == ["live", ("line", 3, "three")]


def test_answers_nobody_heard_come_first_and_are_not_told_as_taken(channel: Channel) -> None:
    big = "x" * (2 << 20)
    guest = replaying(channel, record(made(1, answer=big), made(2, answer=big), made(3)))
    for number in (1, 2, 3):
        call(guest, number)
    guest.deliver(Event(3, ok=True, payload="late"))
    answers = [guest.wait(FOREVER_NS) for _ in range(3)]
    assert [answer and answer.call_id for answer in answers] == [1, 2, 3]
    assert channel.said == ["live"]
    guest.finish()
    assert [entry.call_id for entry in channel.heard()] == [1, 2, 3]


def test_the_clock_jumps_to_the_present_at_the_first_wait(channel: Channel) -> None:
    start_ns = time.time_ns() - 3_600_000 * MS
    guest = replaying(channel, record(made(1), heard=(Heard(0, 5),)), start_ns=start_ns)
    guest.wait(0)
    begun_ns = guest.start_ns
    assert guest.now_ns == begun_ns + 5 * MS
    call(guest, 1)
    call(guest, 2)
    assert guest.now_ns == begun_ns + 5 * MS
    guest.deliver(Event(1, ok=True, payload="1"))
    guest.wait(FOREVER_NS)
    assert guest.now_ns >= begun_ns + 3_600_000 * MS
    assert guest.now_ns <= time.time_ns()
    guest.finish()
    assert channel.heard()[-1] == Heard(1, (guest.now_ns - begun_ns) // MS - 5)


def test_a_timer_that_is_due_by_now_fires_at_once(channel: Channel) -> None:
    guest = replaying(channel, record(heard=(Heard(0, 5),)), start_ns=time.time_ns() - 3_600_000 * MS)
    guest.wait(0)
    was = guest.now_ns
    assert guest.wait(3_000_000 * MS) is None
    assert guest.ending is None
    assert guest.now_ns - was >= 3_000_000 * MS


def test_a_timer_that_is_not_due_waits_for_the_rest(channel: Channel) -> None:
    guest = replaying(channel, record(), start_ns=time.time_ns() - 1_000 * MS)
    was = guest.now_ns
    assert guest.wait(1_005 * MS) is None
    assert guest.now_ns - was >= 1_005 * MS
    (heard,) = (guest.finish(), channel.heard())[1]
    assert heard.steps >= 1_005


def test_a_clock_behind_the_guests_does_not_turn_it_back(channel: Channel) -> None:
    guest = replaying(channel, record(heard=(Heard(0, 10**9),)), start_ns=time.time_ns())
    guest.wait(0)
    was = guest.now_ns
    assert guest.wait(2 * MS) is None
    assert guest.now_ns == was + 2 * MS


def test_limits_count_from_what_had_been_used(channel: Channel) -> None:
    used = record(made(1), cpu_ns=60_000 * MS)
    guest = replaying(channel, used)
    assert guest.tick()
    call(guest, 1)
    assert not guest.tick()
    assert guest.ending == Ending(Status.LIMIT_CPU, "cpu_ms", 60_000)


def test_a_program_that_computes_after_its_record_is_live(channel: Channel) -> None:
    guest = replaying(channel, record(made(1), cpu_ns=7_000 * MS, wall_ns=9_000 * MS))
    assert guest.tick()
    assert channel.said == []
    call(guest, 1)
    assert guest.tick()
    assert channel.said == ["live"]
    assert guest.cpu_ns() > 7_000 * MS
    assert guest.now_ns == START
    assert guest.wait(0) is None
    assert guest.now_ns > START


def test_the_clocks_a_resumed_guest_tells_go_on_from_the_record(channel: Channel) -> None:
    guest = replaying(channel, record(made(1), cpu_ns=7_000 * MS, active_ns=8_000 * MS, wall_ns=9_000 * MS))
    call(guest, 1)
    assert (guest.cpu_ns(), *guest.clocks_ns()) == (7_000 * MS, 8_000 * MS, 9_000 * MS)
    guest.deliver(Event(1, ok=True, payload="1"))
    guest.wait(FOREVER_NS)
    active_ns, wall_ns = guest.clocks_ns()
    assert 7_000 * MS < guest.cpu_ns() < 7_900 * MS
    assert 8_000 * MS < active_ns < 8_900 * MS
    assert wall_ns > 9_000 * MS
    usage = settle(guest, trapped=True).usage
    assert usage.startup_ns < 10_000 * MS


@pytest.mark.parametrize("used", [{"wall_ns": 60_000 * MS}, {"active_ns": 60_000 * MS, "wall_ns": 60_000 * MS}])
def test_a_resumed_guest_whose_time_is_over_ends(channel: Channel, used: dict[str, int]) -> None:
    guest = replaying(channel, record(**used))
    guest.wait(60 * MS)
    assert guest.ending == Ending(Status.LIMIT_WALL, "wall_ms", 60_000)


def test_a_replay_has_a_limit_of_its_own(channel: Channel) -> None:
    guest = replaying(channel, record(made(1)), replace(LIMITS, cpu_ms=1))
    until = time.thread_time() + 0.003
    while time.thread_time() < until:
        pass
    assert guest.tick()
    until += 1.0
    while time.thread_time() < until:
        pass
    assert not guest.tick()
    assert guest.ending == Ending(Status.LIMIT_CPU, "replay_cpu_ms", 1_002)


def test_a_replay_gives_its_turn_to_others(channel: Channel) -> None:
    guest = replaying(channel, record(made(1)))
    other = threading.Thread(target=_turn, args=[guest._slots])
    other.start()
    while not guest._slots.contended:
        pass
    assert guest.tick()
    other.join()


def _turn(slots: RunSlots) -> None:
    assert slots.acquire(time.monotonic() + 60)
    slots.release()


# Pausing.


def test_a_guest_told_to_pause_says_so_when_it_waits(channel: Channel) -> None:
    guest = plain(channel)
    call(guest, 1)
    guest.pause()
    waits = threading.Thread(target=guest.wait, args=[FOREVER_NS])
    waits.start()
    assert channel.is_blocked.wait(60)
    guest.deliver(Event(1, ok=True, payload="1"))
    waits.join()
    *_, trace, blocked = channel.said
    assert isinstance(trace, Trace)
    assert (trace.due_ns, blocked) == (0, "blocked")


def test_a_guest_that_pauses_says_when_it_wakes_by_itself(channel: Channel) -> None:
    guest = plain(channel)
    guest.pause()
    waits = threading.Thread(target=guest.wait, args=[3_000 * MS])
    waits.start()
    assert channel.is_blocked.wait(60)
    guest.end(Status.CANCELLED)
    waits.join()
    trace, blocked = channel.said
    assert isinstance(trace, Trace)
    assert (trace.due_ns, blocked) == (START + 3_000 * MS, "blocked")


def test_a_guest_that_waits_already_is_told_to_pause_and_says_so_once(channel: Channel) -> None:
    guest = plain(channel)
    waits = threading.Thread(target=guest.wait, args=[FOREVER_NS])
    waits.start()
    assert guest._slots.acquire(time.monotonic() + 60)  # given back once it waits
    guest._slots.release()
    guest.pause()
    assert channel.is_blocked.wait(60)
    guest.pause()
    guest.end(Status.CANCELLED)
    waits.join()
    assert channel.said.count("blocked") == 1


def test_a_guest_with_something_to_hear_is_not_blocked(channel: Channel) -> None:
    guest = plain(channel)
    guest.pause()
    guest.deliver(Event(1, ok=True, payload="1"))
    assert guest.wait(FOREVER_NS) is not None
    assert guest.wait(0) is None
    assert "blocked" not in channel.said
