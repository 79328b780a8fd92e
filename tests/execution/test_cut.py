"""Cutting JSON: always valid, within the budget, counts that add up, nothing invented."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.execution.cut import LEAST_BYTES, MORE, Cut, cut, json_text, size
from runtime.execution.pointer import part_at

TEXTS = st.text(max_size=400) | st.text(alphabet='"\\\x00é\U0001f600\ud800', max_size=200)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=30) | st.dictionaries(st.text(max_size=60), inner, max_size=20),
    max_leaves=120,
)
ITEMS = re.compile(r"\.\.\. (\d+) more items")
CHARACTERS = re.compile(r"(.*)\.\.\. \((\d+) more characters\)", re.DOTALL)


@settings(max_examples=300, deadline=None)
@given(VALUES, st.integers(LEAST_BYTES, 4_000))
def test_what_is_cut_is_valid_within_the_budget_and_true(value: Any, most: int):
    whole = json_text(value)
    done = cut(value, most)
    assert len(done.text.encode()) <= most
    shown = json.loads(done.text)
    if len(whole.encode()) <= most:
        assert (done.text, done.omissions) == (whole, ())
        return
    assert done.omissions
    value = json.loads(whole)  # as text can carry it
    check(value, shown, "", {omission.path: omission for omission in done.omissions})
    for omission in done.omissions:
        original = part_at(value, omission.path)
        total = len(original) if isinstance(original, str | list | dict) else len(json_text(original))
        assert omission.shown + omission.left_out == total
        assert omission.left_out > 0


def check(value: Any, shown: Any, path: str, omitted: dict[str, Any]) -> None:
    """Every part of what is shown is in the value, or a marker that an omission accounts for."""
    omission = omitted.get(path)
    if omission is None:
        assert type(shown) is type(value)
    if isinstance(shown, list):
        kept = shown
        if omission is not None:
            assert ITEMS.fullmatch(shown[-1])[1] == str(omission.left_out)
            kept = shown[:-1]
            assert len(kept) == omission.shown
        for index, item in enumerate(kept):
            check(value[index], item, f"{path}/{index}", omitted)
    elif isinstance(shown, dict):
        kept = dict(shown)
        if omission is not None:
            assert kept.pop(MORE) == f"{omission.left_out} more members"
            assert len(kept) == omission.shown
        for name, member in kept.items():
            check(value[name], member, f"{path}/{name.replace('~', '~0').replace('/', '~1')}", omitted)
    elif omission is None:
        assert shown == value
    elif omission.shown or isinstance(value, str):
        said = CHARACTERS.fullmatch(shown)
        assert value.startswith(said[1])
        assert (len(said[1]), said[2]) == (omission.shown, str(omission.left_out))
    else:
        assert shown.startswith(f"... {omission.left_out} ")


@settings(max_examples=200, deadline=None)
@given(VALUES, st.integers(0, 3_000))
def test_a_size_is_exact_up_to_the_most_that_is_asked(value: Any, most: int):
    exact = len(json_text(value).encode())
    measured = size(value, most)
    assert (measured > most) if exact > most else (measured == exact)


EXAMPLES = {
    "rows": ([{"id": n, "name": f"row {n}"} for n in range(1_000)], 300, "... 990 more items"),
    "a page of rows": ({"total": 1_000, "items": [{"id": n} for n in range(1_000)]}, 300, '"total":1000'),
    "text": ("x" * 10_000, 256, "... (9"),
    "meta and rows": ([{"page": 1}, list(range(1_000))], 300, '[{"page":1},[0,1,2,'),
    "many members": ({f"key{n}": n for n in range(1_000)}, 300, "more members"),
    "a member called ...": ({"a": 1, "...": "x" * 1_000}, 300, '"...":"1 more members"'),
    "one member called ...": ({"...": "x" * 1_000}, 300, '{"...":"xxx'),
    "deep": (json.loads("[" * 400 + '"' + "x" * 9_000 + '"' + "]" * 400), 4_000, "... 1 items"),
    "a large number": (10**1_000, 256, "... 1001 digits"),
}


@pytest.mark.parametrize(("value", "most", "said"), EXAMPLES.values(), ids=EXAMPLES)
def test_examples(value: Any, most: int, said: str):
    done = cut(value, most)
    assert said in done.text
    assert len(done.text.encode()) <= most


def test_the_cost_is_that_of_what_is_shown():
    rows = [{"id": n} for n in range(500_000)]
    assert size(rows, 1_000) < 2_000
    assert isinstance(cut(rows, 1_000), Cut)
