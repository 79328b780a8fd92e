"""Traces as bytes: parts join, what is no trace is refused, and a long one says that it is not complete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.isolate.trace import MOST_TRACE, TRACE_PART, Heard, TraceWriter, decode, encode

numbers = st.one_of(st.integers(0, 300), st.integers(0, 2**32 - 1))
steps = st.one_of(st.integers(0, 300), st.integers(0, 2**63 - 1))
entries = st.lists(st.builds(Heard, numbers, steps), max_size=20)


@given(entries, entries)
def test_parts_of_a_trace_join(first: list[Heard], second: list[Heard]):
    assert decode(encode(first)) == first
    assert decode(encode(first) + encode(second)) == first + second


@given(st.binary(max_size=60))
def test_bytes_are_one_trace_or_none(data: bytes):
    try:
        decoded = decode(data)
    except ValueError:
        return
    assert encode(decoded) == data


small = st.lists(st.builds(Heard, numbers, st.one_of(st.integers(0, 300), st.integers(0, 2**40))), max_size=20)


@given(small, st.sets(st.integers(0, 20)), st.integers(0, 2**62), st.integers(1, 10**9))
def test_a_writer_gives_each_entry_once(heard: list[Heard], takes: set[int], start_ns: int, step_ns: int):
    writer, parts, now_ns = TraceWriter(start_ns, step_ns), [], start_ns
    for index, entry in enumerate(heard):
        if index in takes:
            parts.append(writer.take())
        now_ns += entry.steps * step_ns
        writer.add(entry.call_id, now_ns)
        assert writer.due
    parts.append(writer.take())
    assert (writer.due, writer.take()) == (False, b"")
    assert decode(b"".join(parts)) == heard


def test_a_long_part_is_to_be_passed_on():
    writer = TraceWriter(0, 1)
    full = [writer.add(1, 0) for _ in range(TRACE_PART // 2)]
    assert full == [False] * (len(full) - 1) + [True]
    writer.take()
    assert not writer.add(1, 0)


@pytest.mark.parametrize("recorded", [0, 1_000])
def test_a_trace_that_grows_too_long_is_no_longer_kept(recorded: int):
    writer, size = TraceWriter(0, 1, recorded), 0
    for _ in range((MOST_TRACE - recorded) // 2):
        if writer.add(1, 0):
            size += len(writer.take())
    size += len(writer.take())
    assert writer.complete
    writer.add(1, 0)
    assert (writer.complete, writer.due, writer.take()) == (False, True, b"")
    writer.add(1, 0)
    assert (writer.due, size) == (False, MOST_TRACE - recorded)
