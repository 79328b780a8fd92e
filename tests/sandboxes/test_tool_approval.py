"""What search says of a tool's approval, against what the rules say of its calls."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.approval_decision import decide_approval
from sandboxes.approval_rule import ApprovalRules
from sandboxes.call_facts import READS, CallFacts, Effect
from sandboxes.environment import ENVIRONMENTS
from sandboxes.tool_approval import ToolFacts, tool_approval
from sandboxes.tools import ToolRules

ALL = ToolRules(allow=("*.*",))
TRANSFER = ToolFacts(name="ledger.transfer", method="POST")
DEV = ("dev",)


def rules(*given: dict[str, Any]) -> ApprovalRules:
    return ApprovalRules.model_validate(
        {"rules": [{"name": f"r{number}", "action": "ask", **rule} for number, rule in enumerate(given)]}
    )


CASES = {
    "no rule": ((), ""),
    "every call": (({},), "ask"),
    "another tool": (({"tools": ["notes.*"]},), ""),
    "fetches only": (({"kinds": ["fetch"]},), ""),
    "by its method": (({"methods": ["POST"]},), "ask"),
    "another method": (({"methods": ["DELETE"]},), ""),
    "writes": (({"effects": ["write"]},), "ask"),
    "reads": (({"effects": ["read"]},), ""),
    "by an argument": (({"arguments": {"/amount": {"above": 5}}},), "may ask"),
    "from the third write on": (({"after_writes": 2},), "may ask"),
    "from the first write on": (({"after_writes": 0},), "ask"),
    "elsewhere": (({"environments": ["prod"]},), ""),
    "a risk it always has": (({"risk_at_least": 50},), "ask"),
    "a risk it may have": (({"risk_at_least": 85},), "may ask"),
    "denied": (({"action": "deny"},), "deny"),
    "denied by an argument": (({"action": "deny", "arguments": {"/amount": {"above": 5}}},), "may deny"),
    "denied or asked": (({"action": "deny", "arguments": {"/amount": {"above": 5}}}, {}), "ask"),
    "the first rule decides": (({"action": "allow"}, {}), ""),
    "allowed by an argument": (({"action": "allow", "arguments": {"/amount": {"below": 5}}}, {}), "may ask"),
}


@pytest.mark.parametrize(("given_rules", "said"), CASES.values(), ids=CASES)
def test_what_is_said_of_a_tool(given_rules: tuple[dict[str, Any], ...], said: str) -> None:
    assert tool_approval(ALL, rules(*given_rules), TRANSFER, DEV) == said


def test_a_risk_that_no_call_of_the_tool_has() -> None:
    reading = ToolFacts(name="ledger.list", method="GET", effect=READS)
    assert tool_approval(ALL, rules({"risk_at_least": 15}), reading, DEV) == ""
    assert tool_approval(ALL, rules({"risk_at_least": 15}), reading, ENVIRONMENTS) == "may ask"


def test_of_several_environments_one_is_enough() -> None:
    prod = rules({"environments": ["prod"]})
    assert tool_approval(ALL, prod, TRANSFER, ENVIRONMENTS) == "may ask"
    assert tool_approval(ALL, prod, TRANSFER, ("prod",)) == "ask"


@pytest.mark.parametrize("tools", [ToolRules(), ToolRules(allow=("*.*",), deny=("ledger.*",))])
def test_a_tool_that_no_program_may_call(tools: ToolRules) -> None:
    assert tool_approval(tools, rules({"action": "allow"}), TRANSFER, DEV) == "deny"


RULE = st.fixed_dictionaries(
    {"action": st.sampled_from(["allow", "ask", "deny"])},
    optional={
        "tools": st.sampled_from([["ledger.*"], ["notes.*"], ["*.transfer"]]),
        "kinds": st.sampled_from([["tool"], ["fetch"]]),
        "methods": st.sampled_from([["POST"], ["GET"], ["*"]]),
        "effects": st.sampled_from([["read"], ["write"], ["destructive"]]),
        "environments": st.sampled_from([["prod"], ["dev", "stage"]]),
        "risk_at_least": st.integers(0, 100),
        "after_writes": st.integers(0, 3),
        "arguments": st.sampled_from([{"/a": {"above": 3}}, {"/a": {"presence": "absent"}}]),
    },
)
MEANS = {
    "": {"allow"},
    "ask": {"ask", "deny"},
    "may ask": {"allow", "ask", "deny"},
    "may deny": {"allow", "deny"},
    "deny": {"deny"},
}


@given(
    st.lists(RULE, max_size=4),
    st.sampled_from([READS, Effect(), Effect(destructive=False, idempotent=True)]),
    st.sampled_from(["", "GET", "POST"]),
    st.booleans(),
    st.sampled_from([("dev",), ("stage", "prod"), ENVIRONMENTS]),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 20)), min_size=1, max_size=5),
)
def test_no_call_is_decided_otherwise_than_was_said(
    given_rules: list[dict[str, Any]],
    effect: Effect,
    method: str,
    undoable: bool,
    environments: tuple[Any, ...],
    calls: list[tuple[int, int, int]],
) -> None:
    approvals = rules(*given_rules)
    facts = ToolFacts(name="ledger.transfer", method=method, effect=effect, undoable=undoable)
    said = tool_approval(ALL, approvals, facts, environments)
    for place, amount, number in calls:
        call = CallFacts(
            kind="tool", tool=facts.name, method=method, effect=effect, undoable=undoable,
            environment=environments[place % len(environments)],
            arguments={"a": amount, "items": [0] * number}, earlier_writes=number,
        )  # fmt: skip
        assert decide_approval(approvals, call).action in MEANS[said]
