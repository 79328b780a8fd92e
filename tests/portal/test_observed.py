"""Result types told from answers: what they say, what they keep to themselves, how large they grow."""

import json
from typing import Any

import mcp_types
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.portal.catalog import Catalog
from runtime.portal.declarations import declare
from runtime.portal.mcp_tools import build_tools
from runtime.portal.observed import MAX_ANSWERS, MAX_MEMBERS, Observation
from runtime.portal.schema import Shape
from runtime.portal.signature import signature
from runtime.portal.tool import Tool
from runtime.portal.validation import check


def seen(*values: Any) -> Observation:
    observation = Observation()
    for value in values:
        observation.see(value)
    return observation


def tool(**more: Any) -> Tool:
    return build_tools("up", [mcp_types.Tool(name="do_it", input_schema={"type": "object"}, **more)])[0][0]


@pytest.mark.parametrize(
    ("values", "schema"),
    [
        ([], None),
        ([None], {"type": "null"}),
        (["secret", 1], {"type": ["integer", "string"]}),
        ([{"a": 1, "b": "x"}, {"a": 1.5}], {"type": "object", "required": ["a"], "properties": {
            "a": {"type": ["integer", "number"]}, "b": {"type": "string"}}}),
        ([[{"id": 1}, {"id": 2, "next": None}]], {"type": "array", "items": {"type": "object", "required": ["id"],
            "properties": {"id": {"type": "integer"}, "next": {"type": "null"}}}}),
        ([[]], {"type": "array"}),
        ([[], [True]], {"type": "array", "items": {"type": "boolean"}}),
        ([{"a": 1}, [1]], {"type": ["array", "object"], "items": {"type": "integer"}, "required": ["a"],
                           "properties": {"a": {"type": "integer"}}}),
    ],
)  # fmt: skip
def test_what_answers_looked_like(values: list[Any], schema: Any) -> None:
    assert seen(*values).schema() == schema


@pytest.mark.parametrize(
    "value",
    [
        {"ada@example.com": 1}, {"acc_12345678": {}}, {"2026-01-01": 1}, {"a b": 1}, {"": 1}, {"x" * 60: 1},
        {f"k{n}": n for n in range(MAX_MEMBERS + 1)},
    ],
)  # fmt: skip
def test_names_that_are_data_are_not_kept(value: dict[str, Any]) -> None:
    assert seen(value).schema() == {"type": "object"}
    assert seen({"a": 1}, value).schema() == {"type": "object"}


def test_members_that_keep_coming_make_a_map() -> None:
    observation = seen(*({f"name{chr(97 + n // 26)}{chr(97 + n % 26)}": n} for n in range(MAX_MEMBERS + 5)))
    assert observation.schema() == {"type": "object"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("abcdefgh"), inner, max_size=5),
    max_leaves=60,
)


@given(st.lists(JSON, min_size=1, max_size=6))
def test_every_answer_fits_what_was_told_of_it(values: list[Any]) -> None:
    observation = seen(*values)
    schema = observation.schema()
    assert len(json.dumps(schema)) < 100_000
    for value in values:
        assert check(Shape(schema=schema, root={}), value) == []
    assert observation.answers == len(values)


def test_a_large_answer_is_bounded_and_an_endless_series_stops() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = {"a": deep, "b": [deep] if not isinstance(deep, dict) else []}
    assert len(json.dumps(seen(deep).schema())) < 5_000
    observation = seen(*[1] * MAX_ANSWERS)
    observation.see("a string after so many")
    assert observation.schema() == {"type": "integer"}


def test_an_inferred_type_says_that_it_is_inferred() -> None:
    made = tool()
    catalog = Catalog().with_upstream("up", [made])
    assert signature(made) == "codemode.up.do_it(): Promise<unknown>"
    made.observed.see({"id": 1, "title": "secret"})
    assert signature(made) == "codemode.up.do_it(): Promise<{id: number, title: string}>"
    text = declare(catalog, ["up.do_it"]).text
    assert "Result inferred from 1 answer, not declared." in text
    assert "secret" not in text
    assert "Result inferred from 1 answer" in declare(catalog, ["up.do_it"], "python").text


def test_a_declared_type_stays() -> None:
    made = tool(output_schema={"type": "object", "properties": {"a": {"type": "string"}}})
    made.observed.see({"b": 1})
    text = declare(Catalog().with_upstream("up", [made]), ["up.do_it"]).text
    assert "inferred" not in text
    assert "b:" not in text
