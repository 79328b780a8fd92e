"""JSON is measured before it is decoded: what is within the bounds decodes as ever, what is not is never built."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.bounded_json import JsonBoundError, check_bounds, loads

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.sampled_from('a,[]{}"\\\n\u20ac\U0001f600')),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text('a"\\[,', max_size=3), inner, max_size=4),
    max_leaves=25,
)


def count(value: Any) -> int:
    """Every member but the first of its container, and every container: as commas and opening brackets are."""
    if not isinstance(value, list | dict):
        return 0
    inner = list(value.values()) if isinstance(value, dict) else value
    return 1 + max(0, len(inner) - 1) + sum(map(count, inner))


def depth(value: Any) -> int:
    if not isinstance(value, list | dict):
        return 0
    return 1 + max(map(depth, value.values() if isinstance(value, dict) else value), default=0)


def refusal(text: str, **bounds: int) -> str:
    try:
        check_bounds(text, **bounds)
    except JsonBoundError as error:
        return str(error)
    return ""


@given(values, st.booleans(), st.integers(0, 12))
def test_values_are_counted_as_they_are(value: Any, ascii_only: bool, most: int):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert bool(refusal(text, most_values=most)) == (count(value) > most)


@given(values, st.booleans(), st.integers(0, 5))
def test_depth_is_measured_as_it_is(value: Any, ascii_only: bool, most: int):
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert bool(refusal(text, most_depth=most)) == (depth(value) > most)


@given(values)
def test_what_is_within_the_bounds_decodes_as_ever(value: Any):
    assert loads(json.dumps(value)) == value


@given(st.text('[]{}",:1\\ ', max_size=60))
def test_what_is_no_json_is_a_value_error_and_nothing_else(text: str):
    try:
        expected = json.loads(text)
    except ValueError:
        with pytest.raises(ValueError):
            loads(text, most_values=5, most_depth=5)
    else:
        if count(expected) <= 5 and depth(expected) <= 5:
            assert loads(text, most_values=5, most_depth=5) == expected


HOSTILE = {
    "empty arrays": "[" + "[]," * 200_000 + "1]",
    "numbers": "[" + "1," * 200_000 + "1]",
    "members": "{" + '"a":1,' * 200_000 + '"a":1}',
    "a tower": "[" * 200_000,
    "a tower of objects": '{"a":' * 200_000,
    "a tower behind text that looks closed": '["]]]]' + "]" * 1_000 + '",' + "[" * 501 + "]" * 502,
    "escapes before a tower": '["\\\\\\"",' + "[" * 501 + "]" * 502,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_is_refused_before_it_is_built(text: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(json, "loads", lambda *_, **__: pytest.fail("it was decoded"))
    with pytest.raises(JsonBoundError):
        loads(text)


def test_a_program_that_returns_json_as_text_is_no_tower():
    text = json.dumps("[" * 1_000_000)
    assert loads(text) == "[" * 1_000_000
