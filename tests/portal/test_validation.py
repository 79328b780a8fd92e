"""Arguments against schemas: what was wrong, what was expected."""

import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.portal.schema import ReferenceProblem, Shape, lookup
from runtime.portal.validation import check

ISSUE = {
    "type": "object",
    "properties": {
        "title": {"type": "string", "maxLength": 5},
        "state": {"enum": ["open", "closed"]},
        "count": {"type": "integer", "minimum": 1, "maximum": 9},
        "ratio": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
        "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 2},
        "owner": {"$ref": "#/$defs/User"},
        "when": {"type": "string", "nullable": True},
        "either": {"oneOf": [{"type": "string"}, {"type": "object", "required": ["id"]}]},
        "pair": {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
        "fixed": {"const": 3},
    },
    "required": ["title"],
    "additionalProperties": False,
    "$defs": {
        "User": {
            "type": "object",
            "properties": {"login": {"type": "string"}, "boss": {"$ref": "#/$defs/User"}},
            "required": ["login"],
        }
    },
}


def problems(value: Any, schema: Any = ISSUE) -> list[str]:
    return [str(problem) for problem in check(Shape(schema=schema, root=schema), value)]


@pytest.mark.parametrize(
    "value",
    [
        {"title": "a"},
        {"title": "a", "state": "open", "count": 3, "ratio": 0.5, "tags": ["x"]},
        {"title": "a", "count": 3.0},
        {"title": "a", "owner": {"login": "x", "boss": {"login": "y"}}},
        {"title": "a", "when": None},
        {"title": "a", "either": {"id": 1}},
        {"title": "a", "pair": [1, "x"]},
        {"title": "a", "fixed": 3},
    ],
)
def test_right(value: Any) -> None:
    assert problems(value) == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "title: is required (a string)"),
        ({"title": 1}, "title: expected a string, not 1"),
        ({"title": None}, "title: expected a string, not null"),
        ({"title": "abcdef"}, "title: expected at most 5 characters, not 6"),
        ({"title": "a", "state": "new"}, 'state: expected "open" or "closed", not "new"'),
        ({"title": "a", "count": True}, "count: expected a whole number, not true"),
        ({"title": "a", "count": 1.5}, "count: expected a whole number, not 1.5"),
        ({"title": "a", "count": 10}, "count: expected at most 9, not 10"),
        ({"title": "a", "ratio": 0}, "ratio: expected at least 0, not 0"),
        ({"title": "a", "tags": "x"}, 'tags: expected an array, not "x"'),
        ({"title": "a", "tags": ["x", 1]}, "tags[1]: expected a string, not 1"),
        ({"title": "a", "tags": ["x", "y", "z"]}, "tags: expected at most 2 items, not 3"),
        ({"title": "a", "owner": {}}, "owner.login: is required (a string)"),
        ({"title": "a", "owner": {"login": "x", "boss": {}}}, "owner.boss.login: is required (a string)"),
        ({"title": "a", "either": 4}, "either: expected a string or an object, not 4"),
        ({"title": "a", "pair": [1, "x", 2]}, "pair[2]: no value is allowed here"),
        ({"title": "a", "fixed": 4}, "fixed: expected 3, not 4"),
        ({"title": "a", "login": "x"}, "login: is not an argument; it belongs inside owner: {owner: {login: ...}}"),
    ],
)
def test_wrong(value: Any, said: str) -> None:
    assert problems(value) == [said]


def test_an_unknown_name_lists_the_known() -> None:
    assert problems({"title": "a", "tilte": "b"})[0].startswith("tilte: is not an argument; there are title, state")


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/a", "a": {"$ref": "#/b"}, "b": {"$ref": "#/a"}},
        {"$ref": "#/nowhere"},
        {"$ref": "https://example.com/schema.json"},
        {"allOf": [{"$ref": "#"}]},
        {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"properties": 7, "required": "x", "enum": 3, "type": {"a": 1}, "allOf": "no", "items": 5},
        {"type": ["string", 5, None]},
        {"pattern": "(a+)+$", "type": "string"},
        True,
        None,
        17,
    ],
)
def test_a_schema_that_lies_or_turns_in_circles_stops_nothing(schema: Any) -> None:
    check(Shape(schema=schema, root=schema if isinstance(schema, dict) else {}), {"a": "a" * 50 + "!"})
    check(Shape(schema=schema, root=schema if isinstance(schema, dict) else {}), "a" * 50 + "!")


def test_a_schema_made_to_explode_is_given_up() -> None:
    schema: dict[str, Any] = {
        "$defs": {"N": {"anyOf": [{"properties": {"n": {"$ref": "#/$defs/N"}}, "required": ["x"]}] * 8}}
    }
    value: dict[str, Any] = {}
    for _ in range(60):
        value = {"n": value}
    began = time.process_time()
    check(Shape(schema={"$ref": "#/$defs/N"}, root=schema), value)
    assert time.process_time() - began < 20


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)
keywords = st.sampled_from(["type", "properties", "required", "items", "allOf", "anyOf", "$ref", "enum", "minimum"])


@given(st.dictionaries(keywords, json_values, max_size=5), json_values)
@example({"enum": []}, "\x7f")
@example({"enum": ["\x85", "\U000e0001"]}, "\n")
def test_any_json_may_be_a_schema(schema: dict[str, Any], value: Any) -> None:
    for problem in check(Shape(schema=schema, root=schema), value):
        assert str(problem).isprintable() or "\n" in str(problem) or problem.path


@pytest.mark.parametrize(
    ("reference", "found"),
    [("#/a~1b", 1), ("#/c~0d", 2), ("#/e%20f", 3), ("#/list/1", "y"), ("#", None)],
)
def test_pointers(reference: str, found: Any) -> None:
    root = {"a/b": 1, "c~d": 2, "e f": 3, "list": ["x", "y"]}
    assert lookup(root, reference) == (root if found is None else found)


@pytest.mark.parametrize("reference", ["#/list/2", "#/list/x", "#/none", "other.yaml#/a", "#anchor", ""])
def test_pointers_to_nothing(reference: str) -> None:
    with pytest.raises(ReferenceProblem):
        lookup({"list": ["x", "y"]}, reference)


def test_what_only_answers_have_is_not_required_of_arguments() -> None:
    schema = {"type": "object", "required": ["id", "name"], "properties": {"id": {"readOnly": True}, "name": {}}}
    assert problems({"name": "a"}, schema) == []
    assert problems({"id": 1}, schema) == ["name: is required (another value)"]
