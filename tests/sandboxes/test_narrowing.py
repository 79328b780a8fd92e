"""Edits of an approver only narrow."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.narrowing import Edit, NotNarrowerError, edit_of, edits_json, edits_of, narrowed

CALL = {"amount": 500, "rate": 0.5, "debt": -10, "to": ["a", "b", "a"], "deep": {"list": [{"n": 5}]}, "note": "x"}


@pytest.mark.parametrize(
    ("path", "wanted", "after"),
    [
        ("/amount", 100, {**CALL, "amount": 100}),
        ("/amount", 0, {**CALL, "amount": 0}),
        ("/rate", 0.25, {**CALL, "rate": 0.25}),
        ("/debt", -3, {**CALL, "debt": -3}),
        ("/to", ["a", "a"], {**CALL, "to": ["a", "a"]}),
        ("/to", [], {**CALL, "to": []}),
        ("/deep/list/0/n", 4, {**CALL, "deep": {"list": [{"n": 4}]}}),
    ],
)
def test_what_narrows_is_done_and_told(path: str, wanted: Any, after: Any) -> None:
    edit = edit_of(CALL, path, wanted)
    result, words = narrowed(CALL, edits_of(edits_json([edit])))
    assert result == after
    assert path in words[0]
    assert CALL["amount"] == 500


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("/amount", 501),
        ("/amount", -1),
        ("/amount", 1.5),
        ("/amount", "1"),
        ("/amount", True),
        ("/amount", None),
        ("/amount", float("nan")),
        ("/debt", -11),
        ("/debt", 1),
        ("/to", ["b", "b"]),
        ("/to", ["c"]),
        ("/to", ["a", "b", "a", "a"]),
        ("/note", "y"),
        ("/note", 1),
        ("/nothing", 1),
        ("/deep", {}),
        ("/deep/list/1/n", 1),
        ("/amount/0", 1),
        ("amount", 1),
        ("", 1),
    ],
)
def test_what_does_not_narrow_is_refused(path: str, wanted: Any) -> None:
    with pytest.raises(NotNarrowerError):
        edit_of(CALL, path, wanted)


@pytest.mark.parametrize(
    "edit",
    [
        Edit(path="/amount", value=900),
        Edit(path="/to", keep=(1, 0)),
        Edit(path="/to", keep=(3,)),
        Edit(path="/to", keep=(-1,)),
        Edit(path="/amount", keep=(0,)),
    ],
)
def test_kept_edits_are_checked_again_where_they_are_used(edit: Edit) -> None:
    with pytest.raises(NotNarrowerError):
        narrowed(CALL, [edit])


@given(st.lists(st.integers(-5, 5), max_size=8), st.data())
def test_a_list_made_shorter_is_found_again(items: list[int], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.booleans(), min_size=len(items), max_size=len(items)))
    wanted = [item for item, keep in zip(items, chosen, strict=True) if keep]
    result, _ = narrowed({"l": items}, [edit_of({"l": items}, "/l", wanted)])
    assert result == {"l": wanted}


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False), st.integers() | st.floats())
def test_a_number_never_grows_nor_changes_sides(before: float, wanted: float) -> None:
    try:
        result, _ = narrowed({"n": before}, [edit_of({"n": before}, "/n", wanted)])
    except NotNarrowerError:
        return
    assert abs(result["n"]) <= abs(before)
    assert result["n"] * before >= 0
    assert isinstance(json.loads(json.dumps(result))["n"], type(result["n"]))
