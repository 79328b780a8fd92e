"""The digest a decision is bound to: whatever differs in what was shown, differs in it."""

import hashlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.approval_digest import Binding, binding_digest

BASE = Binding(
    execution="exe_1",
    call=1,
    actor="agent",
    tool="ledger.transfer",
    schema="sha256:aa",
    target="https://ledger.example",
    arguments={"amount": 5, "to": "x"},
    policy="sha256:bb",
)


def test_it_is_sha256_over_the_canonical_form() -> None:
    said = {
        "actor": "agent",
        "arguments": {"amount": 5, "to": "x"},
        "call": 1,
        "execution": "exe_1",
        "policy": "sha256:bb",
        "schema": "sha256:aa",
        "target": "https://ledger.example",
        "tool": "ledger.transfer",
        "version": "lockgate approval 1",
    }
    canonical = json.dumps(said, sort_keys=True, separators=(",", ":")).encode()
    assert binding_digest(BASE) == "sha256:" + hashlib.sha256(canonical).hexdigest()


@pytest.mark.parametrize("field", ["execution", "actor", "tool", "schema", "target", "policy"])
def test_every_field_is_in_it(field: str) -> None:
    assert binding_digest(replace(BASE, **{field: "other"})) != binding_digest(BASE)


def test_the_number_of_the_call_is_in_it() -> None:
    assert binding_digest(replace(BASE, call=2)) != binding_digest(BASE)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8"), max_size=6),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["$integer", "$", "a", "$$integer"]) | st.text(st.characters(codec="utf-8"), max_size=4),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


def typed(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@given(JSON, JSON)
def test_two_arguments_have_one_digest_exactly_if_they_are_the_same(one: Any, other: Any) -> None:
    first, second = (binding_digest(replace(BASE, arguments={"v": each})) for each in (one, other))
    assert (first == second) is (typed(one) == typed(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"n": 2**53}, {"n": 2**53 + 1}),
        ({"n": 2**60}, {"n": {"$integer": str(2**60)}}),
        ({"n": 2**60}, {"n": str(2**60)}),
        ({"n": 1}, {"n": True}),
        ({"n": 1}, {"n": "1"}),
        ({}, {"n": None}),
    ],
)
def test_what_looks_alike_is_told_apart(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert binding_digest(replace(BASE, arguments=one)) != binding_digest(replace(BASE, arguments=other))


def test_the_order_of_members_says_nothing() -> None:
    assert binding_digest(replace(BASE, arguments={"to": "x", "amount": 5})) == binding_digest(BASE)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"\ud800": 1}])
def test_what_is_no_json_has_no_digest(value: Any) -> None:
    with pytest.raises(ValueError):
        binding_digest(replace(BASE, arguments={"v": value}))
