"""Where in the data each byte of a reading came from: after every set of changes, at every place, in layers."""

from hypothesis import given
from hypothesis import strategies as st

from egress.reading import Change, Reading


@st.composite
def changed(draw: st.DrawFn) -> tuple[bytes, list[Change]]:
    """Pieces that stay and pieces that are replaced, in turn; the letters of what stays tell its place."""
    data, changes = b"", []
    for kept, gone, said in draw(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.binary(max_size=2)))):
        start = len(data) + kept
        changes.append((start, start + gone, said))
        data += bytes(kept + gone)
    return data + bytes(draw(st.integers(0, 3))), [change for change in changes if change[1] > change[0]]


def sources(data: bytes, changes: list[Change]) -> list[tuple[int, int]]:
    """What every byte was read from, one by one."""
    found: list[tuple[int, int]] = []
    place = 0
    for start, end, said in [*changes, (len(data), len(data), b"")]:
        found += [(at, at + 1) for at in range(place, start)]
        found += [(start, end)] * len(said)
        place = end
    return found


@given(changed())
def test_every_byte_leads_back_to_what_it_was_read_from(made: tuple[bytes, list[Change]]) -> None:
    data, changes = made
    reading = Reading.replacing(Reading(data), changes)
    expected = sources(data, changes)
    assert len(reading.data) == len(expected)
    for start, (begin, _) in enumerate(expected):
        for end in range(start + 1, len(expected) + 1):
            assert reading.source(start, end) == (begin, expected[end - 1][1])


@given(changed(), st.integers(0, 5), st.integers(1, 5))
def test_a_reading_of_a_reading_leads_back_through_both(
    made: tuple[bytes, list[Change]], start: int, size: int
) -> None:
    data, changes = made
    below = Reading.replacing(Reading(data), changes)
    start = min(start, len(below.data))
    end = min(start + size, len(below.data))
    above = Reading.replacing(below, [(start, end, b"x")] if end > start else [])
    for place in range(len(above.data)):
        begin, stop = sources(below.data, above._changes)[place]
        assert above.source(place, place + 1) == below.source(begin, stop)
