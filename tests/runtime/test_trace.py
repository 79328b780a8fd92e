"""Traces as bytes: parts join, what is no trace is refused, and a long one says that it is not complete."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.isolate.trace import MOST_TRACE, Heard, TraceWriter, decode, encode

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


@given(entries, st.sets(st.integers(0, 20)))
def test_a_writer_gives_each_entry_once(heard: list[Heard], takes: set[int]):
    writer, parts = TraceWriter(), []
    for index, entry in enumerate(heard):
        if index in takes:
            parts.append(writer.take())
        writer.add(*entry)
    parts.append(writer.take())
    assert writer.take() == b""
    assert decode(b"".join(parts)) == heard


@pytest.mark.parametrize("recorded", [0, 1_000])
def test_a_trace_that_grows_too_long_is_no_longer_kept(recorded: int):
    writer = TraceWriter(recorded)
    room = (MOST_TRACE - recorded) // 2
    for _ in range(room):
        writer.add(1, 1)
    assert writer.complete
    writer.add(1, 1)
    assert not writer.complete
    writer.add(1, 1)
    assert len(writer.take()) == 2 * room
