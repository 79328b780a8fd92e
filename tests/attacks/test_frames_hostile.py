"""A worker that was taken over and speaks to the gateway as it likes.

The link never raises into the event loop; a frame no honest worker sends ends that worker, its executions are lost,
and those of other workers go on.
"""

import json
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.isolate import Ending, LogLine, Outcome, Replay, ReplayMode, Status, Usage
from runtime.isolate.guest import MOST_ERROR_BYTES
from runtime.isolate.trace import MOST_TRACE, TRACE_PART
from runtime.worker import frames
from runtime.worker.frame_bounds import MOST_HELLO, MOST_SMALL
from runtime.worker.frames import HEADER, MOST_PAYLOAD, Call, Kind
from runtime.worker.link import MOST_UNREAD, Link
from runtime.worker.replay_frames import MOST_TRACE_FRAME, TRACE_HEAD
from tests.attacks.fake_worker import RUN, FakeProcess, Heard, fake_worker

USAGE = Usage(
    cpu_ns=1, active_ns=1, wall_ns=1, startup_ns=1, memory_bytes=1, memory_exact=True, host_calls=0, log_lines=0
)
DONE = frames.encode_done(1, Outcome(ending=Ending(Status.SUCCEEDED), result="1", usage=USAGE))


HONEST = frames.DONE_HEAD.unpack_from(DONE, HEADER.size)
STATUS, EXACT, LENGTH, VALUE, CPU, WALL, CALLS, KEPT = 0, 1, 2, 3, 4, 6, 9, 12


def done(index: int, value: int, rest: bytes = b"1") -> bytes:
    """An honest worker's, but for one number."""
    numbers = [*HONEST[:index], value, *HONEST[index + 1 :]]
    return frames.encode(Kind.DONE, 1, frames.DONE_HEAD.pack(*numbers) + rest)


def ended(status: Status) -> bytes:
    return done(STATUS, list(Status).index(status))


def log(number: int = 1, level: int = 2, time_ns: int = 3, text: bytes = b"x", *, length: int | None = None) -> bytes:
    size = len(text) if length is None else length
    return frames.encode(Kind.LOG, 1, frames.LINE_HEAD.pack(number, level, time_ns, size) + text)


def trace(data: bytes, *, cpu_ns: int = 0, log_lines: int = 0, complete: int = 1, due_ns: int = 0) -> bytes:
    return frames.encode(Kind.TRACE, 1, TRACE_HEAD.pack(cpu_ns, 0, 0, log_lines, complete, due_ns) + data)


MALFORMED = {
    "a length beyond every bound": HEADER.pack(MOST_PAYLOAD + 1, Kind.DONE, 1),
    "the longest length": HEADER.pack(2**32 - 1, 255, 2**64 - 1),
    "a kind that does not exist": frames.encode(77, 1),  # type: ignore[arg-type]
    "the gateway's own kinds": frames.encode(Kind.RUN, 1, b"x"),
    "a result from a worker": frames.encode_result(1, 1, ok=True, payload="1"),
    "a cancellation from a worker": frames.encode(Kind.CANCEL, 1),
    "a call without its head": frames.encode(Kind.CALL, 1, b"x"),
    "a call of the wrong lengths": frames.encode(Kind.CALL, 1, struct.pack("<IBHI", 1, 1, 9, 2**32 - 1) + b"x"),
    "a log line without a head": frames.encode(Kind.LOG, 1, b"\xff\xfe"),
    "a log line of number 0": log(0),
    "a log line numbered beyond every limit": log(2**31),
    "a log line of level 9": log(1, 9),
    "a log line before time": log(1, 2, -1),
    "a log line that ends beyond its frame": log(length=2),
    "a log line of the longest length": log(length=2**32 - 1),
    "answers taken that are no number": frames.encode(Kind.TAKEN, 1, b"x"),
    "a trace without its head": frames.encode(Kind.TRACE, 1, b"x"),
    "a trace that ends within a number": trace(b"\x80"),
    "a trace that ends within an entry": trace(b"\x01"),
    "a trace with a number without an end": trace(b"\x80" * 11 + b"\x01\x01"),
    "a trace with a number longer than it needs": trace(b"\x81\x00\x01"),
    "a trace of a call beyond every id": trace(b"\x80\x80\x80\x80\x10\x00"),
    "a trace of endless time": trace(b"", cpu_ns=2**63),
    "a trace of more lines than there can be": trace(b"", log_lines=2**31),
    "a trace that wakes after all time": trace(b"", due_ns=2**63),
    "a trace neither whole nor cut": trace(b"", complete=2),
    "a program that goes live without a replay": frames.encode(Kind.LIVE, 1),
    "the end of a replay not asked for": ended(Status.STOPPED),
    "a session lost that there was none of": ended(Status.SESSION_LOST),
    "an isolate kept of no session": done(KEPT, 1),
    "an isolate kept a negative number of times": done(KEPT, -1),
    "an end without a head": frames.encode(Kind.DONE, 1, b""),
    "an end within its head": DONE[: HEADER.size - 13] + frames.encode(Kind.DONE, 1, DONE[HEADER.size :][:40]),
    "an end of a status unknown": done(STATUS, len(Status)),
    "an end of the last status there could be": done(STATUS, 255),
    "an end of memory neither exact nor not": done(EXACT, 2),
    "an end with a limit's name beyond it": done(LENGTH, 60),
    "an end with too long a limit's name": done(LENGTH, 65, b"x" * 100),
    "an end of a negative limit": done(VALUE, -1),
    "an end of negative time": done(CPU, -1),
    "an end of endless time": done(WALL, -(2**63)),
    "an end of a negative number of calls": done(CALLS, -1),
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
async def test_a_malformed_frame_ends_its_worker_and_only_that(data: bytes):
    async with fake_worker() as hostile, fake_worker() as honest:
        first, second, other = hostile.execution(1), hostile.execution(2), honest.execution(1)
        await hostile.say(data + DONE)
        await hostile.gone.wait()
        assert hostile.process.kills >= 1
        assert hostile.link.load == 0
        for heard in (first, second):
            (reason,) = heard.endings
            assert isinstance(reason, str)
            assert "broke the frame protocol" in reason
        await honest.say(DONE)
        await other.ended.wait()
        assert isinstance(other.endings[0], Outcome)
        assert not hostile.raised
        assert not honest.raised


# By the limits of tests/attacks/fake_worker.py, which are all 1,000.
MOST = {
    Kind.HELLO: MOST_HELLO,
    Kind.LOG: 64 * frames.LINE_HEAD.size + 1_000,
    Kind.CALL: frames.CALL_HEAD.size + 512 + 1_000,
    Kind.DONE: MOST_SMALL + MOST_ERROR_BYTES,
    Kind.PONG: MOST_SMALL,
    Kind.TAKEN: MOST_SMALL,
    Kind.TRACE: MOST_TRACE_FRAME,
    Kind.LIVE: MOST_SMALL,
    Kind.BLOCKED: MOST_SMALL,
}


@pytest.mark.parametrize("kind", MOST)
def test_a_frame_longer_than_its_kind_may_be_ends_the_worker_before_it_is_kept(kind: Kind):
    link, _ = _unconnected()
    link.data_received(HEADER.pack(MOST[kind], kind, 1))
    assert not link.process.kills  # type: ignore[attr-defined]
    link, _ = _unconnected()
    link.data_received(HEADER.pack(MOST[kind] + 1, kind, 1))
    assert link.process.kills == 1  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", [Kind.LOG, Kind.CALL, Kind.DONE])
def test_a_long_frame_about_no_execution_ends_the_worker(kind: Kind):
    link, _ = _unconnected()
    link.data_received(HEADER.pack(MOST_SMALL + 1, kind, 2))
    assert link.process.kills == 1  # type: ignore[attr-defined]


HARMLESS = {
    "an execution unknown": frames.encode_done(99, Outcome(ending=Ending(Status.TRAPPED), usage=USAGE)),
    "a call of an execution unknown": frames.encode_call(99, Call(1, 1, "x.y", "{}")),
    "another hello": frames.encode_hello({"walls": "all of them"}),
    "answers to no ping": frames.encode(Kind.PONG, 7) * 10_000,
    "empty logs": frames.encode_log(1, []) * 1_000,
    "answers taken that were never sent": frames.encode_taken(1, 2**64 - 1),
    "blocked though nobody asked": frames.encode(Kind.BLOCKED, 1) * 1_000,
    "ill-formed text": frames.encode(Kind.CALL, 2, struct.pack("<IBHI", 1, 1, 1, 1) + b"\xff\xff"),
}


@pytest.mark.parametrize("data", HARMLESS.values(), ids=HARMLESS)
async def test_what_means_nothing_changes_nothing(data: bytes):
    async with fake_worker() as worker:
        first, second = worker.execution(1), worker.execution(2)
        await worker.say(data + DONE + DONE)
        await first.ended.wait()
        assert len(first.endings) == 1
        assert not second.endings
        assert worker.link.walls == {"walls": "none"}
        assert not worker.process.kills
        assert not worker.raised


async def test_a_worker_that_stops_within_a_frame_loses_its_executions():
    async with fake_worker() as worker:
        heard = worker.execution(1)
        await worker.say(DONE[:-1])
        worker.close()
        await worker.gone.wait()
        (reason,) = heard.endings
        assert isinstance(reason, str)
        assert reason.startswith("the worker process ended")


async def test_nothing_is_heard_of_an_execution_after_its_end():
    async with fake_worker() as worker:
        heard, other = worker.execution(1), worker.execution(2)
        late = frames.encode_log(1, [LogLine(1, 2, 3, "late")]) + frames.encode_call(1, Call(1, 1, "x.y", "{}"))
        await worker.say(DONE + late + frames.encode_done(2, Outcome(ending=Ending(Status.TRAPPED), usage=USAGE)))
        await other.ended.wait()
        assert (heard.logs, heard.calls, len(heard.endings)) == ([], [], 1)


@pytest.mark.parametrize("payload", [b"", b"[]", b"\xff", b'{"a": 1}', b"[" * 100_000, b"null"])
def test_a_hello_that_is_none_ends_the_worker(payload: bytes):
    link, _ = _unconnected()
    link.data_received(frames.encode(Kind.HELLO, 0, payload))
    assert link.process.kills == 1  # type: ignore[attr-defined]
    assert not link.walls


def _unconnected() -> tuple[Link, Heard]:
    link = Link(FakeProcess(), lambda _: None, lambda _: None)  # type: ignore[arg-type]
    heard = Heard()
    link.run(1, RUN, heard)
    return link, heard


payloads = st.one_of(
    st.binary(max_size=300),
    st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=20).map(
        lambda value: json.dumps(value).encode()
    ),
)
kinds = st.one_of(st.sampled_from(Kind), st.integers(0, 255))
spoken = st.lists(st.tuples(kinds, st.integers(0, 2), payloads), max_size=8)


@given(spoken, st.binary(max_size=40))
def test_whatever_a_worker_says_the_link_does_not_raise(said, rest: bytes):
    link, heard = _unconnected()
    for kind, number, payload in said:
        link.data_received(HEADER.pack(len(payload), kind, number) + payload)
    link.data_received(rest)
    link.connection_lost(None)
    assert len(heard.endings) == 1
    link.data_received(DONE)
    assert len(heard.endings) == 1


def test_a_trace_longer_than_any_ends_the_worker():
    link, heard = _unconnected()
    part = trace(b"\x00\x01" * (TRACE_PART // 2))
    for _ in range(MOST_TRACE // TRACE_PART):
        link.data_received(part)
    assert not link.process.kills  # type: ignore[attr-defined]
    link.data_received(trace(b"\x00\x01"))
    assert link.process.kills == 1  # type: ignore[attr-defined]
    assert sum(len(each.data) for each in heard.traces) == MOST_TRACE


@pytest.mark.parametrize("mode", ReplayMode)
def test_a_program_goes_live_once_and_only_when_it_resumes(mode: ReplayMode):
    link = Link(FakeProcess(), lambda _: None, lambda _: None)  # type: ignore[arg-type]
    heard = Heard()
    link.run(1, replace(RUN, replay=Replay(mode=mode)), heard)
    link.data_received(frames.encode(Kind.LIVE, 1) * 2)
    assert heard.lives == (1 if mode is ReplayMode.RESUME else 0)
    assert link.process.kills == 1  # type: ignore[attr-defined]


async def test_a_worker_that_does_not_read_is_ended():
    async with fake_worker() as worker:
        heard = worker.execution(1)
        answer = "x" * (16 << 20)
        for number in range(MOST_UNREAD // len(answer) + 2):
            worker.link.result(1, number, ok=True, payload=answer)
        await worker.gone.wait()
        (reason,) = heard.endings
        assert reason == "the worker does not read what it is sent"
