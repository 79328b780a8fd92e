"""The frame protocol: what one side encodes the other decodes, and nothing hostile gets through as anything else."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.isolate import (
    Ending,
    GuestLimits,
    LogLine,
    Outcome,
    Replay,
    ReplayedCall,
    ReplayMode,
    Status,
    Trace,
    Usage,
)
from runtime.isolate import trace as traces
from runtime.worker import frames
from runtime.worker.frames import Call, Decoder, Frame, FrameError, Kind, Run
from runtime.worker.replay_frames import MOST_REPLAY, ReplayReader, decode_trace, encode_replay, encode_trace

texts = st.text(max_size=200)
counts = st.integers(0, 2**40)
limits = st.builds(GuestLimits, **dict.fromkeys(GuestLimits.__dataclass_fields__, counts))


def only(data: bytes) -> Frame:
    (frame,) = Decoder().feed(data)
    return frame


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 2**64 - 1), st.binary(max_size=300))), st.data())
def test_frames_survive_any_splitting_of_the_stream(sent, data):
    stream = b"".join(frames.HEADER.pack(len(payload), kind, number) + payload for kind, number, payload in sent)
    decoder, received = Decoder(), []
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        received += decoder.feed(stream[:size])
        stream = stream[size:]
    assert received == sent


@given(limits, texts, texts, st.binary(min_size=32, max_size=32), st.integers(0, 2**62), counts, st.integers(0, 9))
def test_run_round_trip(guest_limits, program, inputs, seed, start_ns, session, position):
    of = {"session": session, "position": position}
    run = Run(image=1, seed=seed, start_ns=start_ns, limits=guest_limits, program=program, inputs=inputs, **of)
    frame = only(frames.encode_run(7, run))
    assert (frame.kind, frame.number) == (Kind.RUN, 7)
    assert frames.decode_run(frame.payload) == run


@given(st.integers(0, 2**64 - 1))
def test_end_session_round_trip(session):
    frame = only(frames.encode_end_session(session))
    assert frame.kind == Kind.END_SESSION
    assert frames.decode_end_session(frame.payload) == session


@given(st.integers(0, 2**32 - 1), st.booleans(), texts)
def test_result_round_trip(call_id, ok, payload):
    frame = only(frames.encode_result(9, call_id, ok=ok, payload=payload))
    assert frames.decode_result(frame.payload) == (call_id, ok, payload)


@given(st.integers(0, 2**32 - 1), st.integers(0, 255), st.text(max_size=100), texts)
def test_call_round_trip(call_id, kind, name, payload):
    call = Call(call_id, kind, name, payload)
    assert frames.decode_call(only(frames.encode_call(3, call)).payload) == call


log_lines = st.builds(
    LogLine, st.integers(1, 2**31 - 1), st.integers(1, 4), st.integers(0, 2**63 - 1), st.text(max_size=100)
)


@given(st.lists(log_lines, max_size=5))
def test_log_round_trip(lines):
    assert frames.decode_log(only(frames.encode_log(3, lines)).payload) == lines


entries = st.lists(st.builds(traces.Heard, st.integers(0, 2**32 - 1), st.integers(0, 2**63 - 1)), max_size=20)
clocks = st.integers(0, 2**63 - 1)


told = st.builds(
    Trace, clocks, clocks, clocks, st.integers(0, 2**31 - 1), st.booleans(), entries.map(traces.encode), clocks
)


@given(told)
def test_trace_round_trip(trace):
    assert decode_trace(only(encode_trace(3, trace)).payload) == trace


replayed_calls = st.builds(
    ReplayedCall,
    st.integers(0, 2**32 - 1),
    st.integers(0, 255),
    st.text(max_size=60),
    st.binary(min_size=32, max_size=32),
    st.booleans(),
    st.booleans(),
    st.one_of(texts, st.just("x" * 600_000)),
    st.booleans(),
)
replays = st.builds(
    Replay,
    mode=st.sampled_from(ReplayMode),
    calls=st.lists(replayed_calls, max_size=6).map(tuple),
    trace=entries.map(traces.encode),
    until=st.integers(0, 2**32 - 1),
    cpu_ns=clocks,
    active_ns=clocks,
    wall_ns=clocks,
    log_lines=st.integers(0, 2**31 - 1),
)


@given(replays)
def test_replay_round_trip(replay):
    head, *calls = Decoder().feed(encode_replay(3, replay))
    assert {(frame.kind, frame.number) for frame in (head, *calls)} == {(Kind.REPLAY, 3)}
    reader = ReplayReader(head.payload)
    for frame in calls:
        reader.feed(frame.payload)
    assert reader.replay() == replay


def test_a_replay_too_long_to_be_held_is_refused():
    call = ReplayedCall(1, 1, "a.b", bytes(32), answered=True, ok=True, payload="x" * (MOST_REPLAY // 8))
    assert encode_replay(3, Replay(mode=ReplayMode.RESUME, calls=(call,) * 7))
    with pytest.raises(ValueError, match="more than 67108864 bytes"):
        encode_replay(3, Replay(mode=ReplayMode.RESUME, calls=(call,) * 8))


def test_a_replay_whose_calls_did_not_all_arrive_is_refused():
    call = ReplayedCall(1, 1, "a.b", bytes(32))
    head, _ = Decoder().feed(encode_replay(3, Replay(mode=ReplayMode.RESUME, calls=(call,))))
    with pytest.raises(FrameError, match="a replay of 1 calls that has 0"):
        ReplayReader(head.payload).replay()


usages = st.builds(
    Usage,
    **{
        name: st.booleans() if name == "memory_exact" else st.integers(0, 2**31 - 1)
        for name in Usage.__dataclass_fields__
    },
)


@given(st.sampled_from(Status), st.sampled_from(["", "cpu_ms", "memory_bytes"]), counts, texts, usages)
def test_done_round_trip(status, limit, value, text, usage):
    ending = Ending(status, limit, value)
    field = "result" if status is Status.SUCCEEDED else "error"
    outcome = Outcome(ending=ending, usage=usage, kept=value % 9, **{field: text})
    assert frames.decode_done(only(frames.encode_done(1, outcome)).payload) == outcome


@pytest.mark.parametrize("decode", [frames.decode_call, frames.decode_log, frames.decode_done, frames.decode_taken])
@given(payload=st.binary(max_size=400))
def test_any_bytes_decode_or_are_a_frame_error(decode, payload):
    with contextlib.suppress(FrameError):
        assert decode(payload) is not None


@given(st.lists(st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 9), st.integers(-5, 2**63 - 1), st.binary())))
def test_any_lines_in_a_log_frame_are_in_range_or_a_frame_error(entries):
    head = frames.LINE_HEAD
    payload = b"".join(head.pack(*numbers, len(text)) + text for *numbers, text in entries)
    try:
        lines = frames.decode_log(payload)
    except FrameError:
        return
    assert all(1 <= line.level <= 4 and line.number > 0 and line.time_ns >= 0 for line in lines)
    assert [line.text for line in lines] == [text.decode(errors="replace") for *_, text in entries]


def test_a_control_character_in_a_log_line_takes_one_byte():
    line = LogLine(1, 2, 3, "\0" * 1_000)
    assert len(only(frames.encode_log(1, [line])).payload) == frames.LINE_HEAD.size + 1_000


@given(st.integers(0, 2**64 - 1))
def test_taken_round_trip(size):
    assert frames.decode_taken(only(frames.encode_taken(1, size)).payload) == size


@given(
    st.lists(st.integers(0, 255), min_size=3, max_size=3),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=10, max_size=10),
    texts,
)
def test_any_numbers_in_a_done_frame_give_an_outcome_in_range_or_a_frame_error(small, numbers, text):
    try:
        outcome = frames.decode_done(frames.DONE_HEAD.pack(*small, *numbers) + text.encode(errors="replace"))
    except FrameError:
        return
    assert isinstance(outcome.ending.status, Status)
    assert len(outcome.ending.limit) <= 64
    assert min(outcome.ending.value, outcome.usage.cpu_ns, outcome.kept) >= 0


def test_a_frame_longer_than_allowed_is_refused_before_it_is_buffered():
    with pytest.raises(FrameError, match="1001 bytes; at most 1000"):
        Decoder(lambda _kind, _number: 1000).feed(frames.HEADER.pack(1001, Kind.DONE, 1))


def test_a_call_whose_lengths_do_not_add_up_is_refused():
    payload = only(frames.encode_call(1, Call(1, 1, "name", "{}"))).payload
    with pytest.raises(FrameError, match="do not add up"):
        frames.decode_call(payload + b"x")


def test_a_lone_surrogate_in_a_log_line_is_repaired():
    lines = [LogLine(1, 2, 3, "a\ud800b")]
    (line,) = frames.decode_log(only(frames.encode_log(1, lines)).payload)
    assert line.text == "a?b"
