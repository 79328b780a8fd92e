"""Lines of a stream that anybody may have written."""

from hypothesis import given
from hypothesis import strategies as st

from runtime.portal.bounded_line import KEPT, Lines, LongLine

MOST = 2 * KEPT


@given(
    st.lists(st.binary(max_size=3 * MOST).map(lambda line: line.replace(b"\n", b"")), max_size=6),
    st.lists(st.integers(1, MOST), max_size=30),
)
def test_lines_come_out_as_they_went_in_however_they_were_cut(lines: list[bytes], cuts: list[int]):
    stream, splitter, found = b"".join(line + b"\n" for line in lines), Lines(MOST), []
    for cut in cuts:
        found += splitter.feed(stream[:cut])
        stream = stream[cut:]
    found += splitter.feed(stream)
    assert not splitter.skipping
    assert found == [line if len(line) <= MOST else LongLine(line[:KEPT], line[-KEPT:], len(line)) for line in lines]


def test_a_line_without_end_holds_no_memory():
    splitter = Lines(MOST)
    for _ in range(10_000):
        assert list(splitter.feed(b"x" * 1_000)) == []
    assert splitter.skipping
    assert len(splitter._head) + len(splitter._tail) + sum(map(len, splitter._parts)) <= 2 * KEPT
