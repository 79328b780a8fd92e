"""Approval rules: which calls need a human, by facts alone."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sandboxes.approval_decision import decide_approval
from sandboxes.approval_rule import ApprovalRules, values_at
from sandboxes.call_facts import READS, CallFacts, Effect
from sandboxes.profile import Profile
from sandboxes.risk import risk_of


def rules(*given: dict[str, Any]) -> ApprovalRules:
    named = [{"name": f"r{number}", "action": "ask", **rule} for number, rule in enumerate(given)]
    return ApprovalRules.model_validate({"rules": named})


def facts(**given: Any) -> CallFacts:
    return CallFacts(**{"kind": "tool", "tool": "ledger.transfer", "environment": "dev", **given})


def test_without_rules_nothing_is_asked() -> None:
    decision = decide_approval(ApprovalRules(), facts())
    assert (decision.action, decision.rule) == ("allow", "")


MATCHES = [
    # rule, facts, whether it matches
    ({}, {}, True),
    ({"tools": ["ledger.*"]}, {}, True),
    ({"tools": ["notes.*"]}, {}, False),
    ({"tools": ["*.*"]}, {"kind": "fetch", "tool": ""}, False),
    ({"kinds": ["fetch"]}, {}, False),
    ({"kinds": ["fetch"]}, {"kind": "fetch", "tool": ""}, True),
    ({"methods": ["POST"]}, {"method": "POST"}, True),
    ({"methods": ["POST"]}, {"method": "GET"}, False),
    ({"methods": ["*"]}, {"method": ""}, False),
    ({"effects": ["write"]}, {"effect": READS}, False),
    ({"effects": ["read"]}, {"effect": READS}, True),
    ({"effects": ["write"]}, {"effect": Effect(destructive=False)}, True),
    ({"effects": ["destructive"]}, {"effect": Effect(destructive=False)}, False),
    ({"effects": ["destructive"]}, {}, True),
    ({"environments": ["prod"]}, {}, False),
    ({"environments": ["prod"]}, {"environment": "prod"}, True),
    ({"risk_at_least": 100}, {}, False),
    ({"risk_at_least": 60}, {"environment": "prod"}, True),
    ({"after_writes": 2}, {"earlier_writes": 1}, False),
    ({"after_writes": 2}, {"earlier_writes": 2}, True),
    ({"arguments": {"/amount": {"above": 100}}}, {"arguments": {"amount": 100}}, False),
    ({"arguments": {"/amount": {"above": 100}}}, {"arguments": {"amount": 100.5}}, True),
    ({"arguments": {"/amount": {"above": 100}}}, {"arguments": {}}, False),
    ({"arguments": {"/a": {"below": 0}}}, {"arguments": {"a": -1}}, True),
    ({"arguments": {"/to": {"values": ["x"]}}}, {"arguments": {"to": "x"}}, True),
    ({"arguments": {"/to": {"values": ["x"]}}}, {"arguments": {"to": "y"}}, False),
    ({"arguments": {"/to": {"presence": "absent"}}}, {"arguments": {}}, True),
    ({"arguments": {"/to": {"pattern": ".*@evil[.]example"}}}, {"arguments": {"to": "a@evil.example"}}, True),
    ({"arguments": {"/items/*/price": {"above": 5}}}, {"arguments": {"items": [{"price": 1}, {"price": 9}]}}, True),
    ({"arguments": {"/items/1/price": {"above": 5}}}, {"arguments": {"items": [{"price": 1}, {"price": 9}]}}, True),
    ({"arguments": {"/a~1b": {"values": [1]}}}, {"arguments": {"a/b": 1}}, True),
]


@pytest.mark.parametrize(("rule", "given", "expected"), MATCHES)
def test_a_rule_matches_what_it_says(rule: dict[str, Any], given: dict[str, Any], expected: bool) -> None:
    decision = decide_approval(rules(rule), facts(**given))
    assert (decision.rule == "r0") is expected
    assert decision.action == ("ask" if expected else "allow")


@pytest.mark.parametrize("value", ["1000", [1000], {"n": 1000}, True, None])
def test_a_value_of_another_type_does_not_slip_past_a_bound(value: Any) -> None:
    given = facts(arguments={"amount": value})
    condition = {"arguments": {"/amount": {"above": 100}}}
    assert decide_approval(rules(condition), given).action == "ask"
    assert decide_approval(rules({**condition, "action": "deny"}), given).action == "deny"
    allow_first = rules({**condition, "action": "allow"}, {"action": "deny"})
    assert decide_approval(allow_first, given).rule == "r1"


def test_to_allow_every_one_of_several_values_has_to_be_as_written() -> None:
    small = {"action": "allow", "arguments": {"/items/*/price": {"below": 5}}}
    some = facts(arguments={"items": [{"price": 1}, {"price": 9}]})
    assert decide_approval(rules(small, {}), some).rule == "r1"
    assert decide_approval(rules(small, {}), facts(arguments={"items": [{"price": 1}]})).rule == "r0"


def test_the_first_rule_that_matches_decides() -> None:
    ordered = rules({"tools": ["ledger.transfer"], "action": "deny"}, {"tools": ["ledger.*"], "action": "allow"})
    assert decide_approval(ordered, facts()).action == "deny"
    assert decide_approval(ordered, facts(tool="ledger.other")).action == "allow"


def test_a_rule_that_raises_denies(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("sandboxes.approval_decision.risk_of", fails)
    assert decide_approval(rules({"action": "allow"}), facts()).action == "deny"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"arguments": {"amount": {}}}, "JSON Pointer"),
        ({"action": "deny", "approvers": 2}, "asks nobody"),
        ({"arguments": {"/a": {"above": 1, "values": [1]}}}, "stand alone"),
        ({"arguments": {"/a": {"above": float("nan")}}}, "finite"),
        ({"expires_s": 0}, "greater than or equal to 1"),
        ({"approvers": 0}, "greater than or equal to 1"),
        ({"tools": ["*"]}, "leaves open"),
        ({"unknown": 1}, "Extra inputs"),
    ],
)
def test_a_broken_rule_is_refused_with_what_is_wrong(rule: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        rules(rule)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ValidationError, match="two rules"):
        rules({"name": "same"}, {"name": "same"})


def profile(environments: list[str], **rule: Any) -> Profile:
    return Profile.model_validate(
        {
            "name": "p",
            "version": 1,
            "languages": ["python"],
            "environments": environments,
            "approvals": {"rules": [{"name": "r", "action": "ask", **rule}]},
        }
    )


def test_a_profile_is_read_again_as_it_is_written_down() -> None:
    written = [{"name": name, "action": name} for name in ("allow", "ask", "deny")]
    made = Profile.model_validate(
        {
            "name": "p",
            "version": 1,
            "languages": ["python"],
            "environments": ["dev"],
            "approvals": {"rules": [{**each, "arguments": {"/a": {"above": 1}}} for each in written]},
        }
    )
    assert Profile.model_validate_json(made.model_dump_json(by_alias=True)) == made


def test_self_approval_is_for_development_only() -> None:
    assert profile(["dev"], self_approval=True).approvals.rules[0].self_approval
    for environments in (["prod"], ["dev", "prod"]):
        with pytest.raises(ValidationError, match=r"environments: \[dev\]"):
            profile(environments, self_approval=True)


def test_approval_rules_are_in_the_digest_of_the_profile() -> None:
    assert profile(["dev"]).digest() != profile(["dev"], approvers=2).digest()


EFFECTS = st.builds(
    Effect,
    read_only=st.booleans(),
    destructive=st.booleans(),
    idempotent=st.booleans(),
    open_world=st.booleans(),
)
FACTS = st.builds(
    CallFacts,
    kind=st.just("tool"),
    tool=st.sampled_from(["a.get", "a.deleteAll", "a.sendMoney", "a.update_item", "a.B"]),
    effect=EFFECTS,
    environment=st.sampled_from(["dev", "stage", "prod"]),
    earlier_writes=st.integers(0, 50),
    undoable=st.booleans(),
    arguments=st.dictionaries(st.text(max_size=3), st.lists(st.integers(), max_size=20), max_size=3),
)


@given(FACTS)
def test_risk_is_the_sum_of_its_stated_factors(given: CallFacts) -> None:
    risk = risk_of(given)
    assert risk.score == min(100, sum(factor.weight for factor in risk.factors))
    assert all(factor.weight > 0 and factor.reason for factor in risk.factors)


@given(FACTS, st.sampled_from(["earlier_writes", "undoable", "environment"]))
def test_risk_never_falls_when_a_call_gets_worse(given: CallFacts, worse: str) -> None:
    fields = {name: getattr(given, name) for name in CallFacts.__slots__}
    changed = {"earlier_writes": given.earlier_writes + 1, "undoable": False, "environment": "prod"}
    assert risk_of(CallFacts(**{**fields, worse: changed[worse]})).score >= risk_of(given).score


def test_what_only_reads_in_development_has_no_risk() -> None:
    assert risk_of(facts(effect=READS, earlier_writes=9)).score == 0


@pytest.mark.parametrize("name", ["deleteAll", "delete", "bulk_delete", "sendMessage", "transferFunds", "repoDelete"])
def test_grave_names_are_recognised(name: str) -> None:
    reasons = [factor.reason for factor in risk_of(facts(tool=f"up.{name}")).factors]
    assert any("name" in reason for reason in reasons)


@pytest.mark.parametrize("name", ["undeleted", "sender", "updateItem", "mergers", "listPayers"])
def test_words_inside_words_are_not_grave(name: str) -> None:
    assert not any("name" in factor.reason for factor in risk_of(facts(tool=f"up.{name}")).factors)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(JSON, st.lists(st.text(max_size=4), max_size=4))
def test_a_place_is_found_or_is_not_whatever_the_value(value: Any, parts: list[str]) -> None:
    place = "/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in parts)
    found = values_at(value, place)
    assert found
    assert all(present for present, _ in found) or found == [(False, None)]
