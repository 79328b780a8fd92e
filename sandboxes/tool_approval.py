"""What a profile says of a tool before anybody calls it: whether a human will be asked, or the call refused."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from .approval_rule import Action, ApprovalRule, ApprovalRules, has_effect, method_named
from .call_facts import CallFacts, Effect
from .environment import Environment
from .risk import MANY_ITEMS, MOST_FOR_EARLIER, risk_of
from .tools import ToolRules, decide_tool, name_matches_any

type ToolApproval = Literal["", "ask", "may ask", "may deny", "deny"]
type _Certainty = Literal["never", "maybe", "always"]
_MANY: Final = {"items": [None] * (MANY_ITEMS + 1)}


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolFacts:
    """What is known of every call of a tool. `method` is its HTTP method in capitals, empty where there is none."""

    name: str
    method: str = ""
    effect: Effect = field(default_factory=Effect)
    undoable: bool = False


def tool_approval(
    tools: ToolRules, approvals: ApprovalRules, facts: ToolFacts, environments: Sequence[Environment]
) -> ToolApproval:
    """As for some call of the tool from one of these environments: empty if every one may leave at once.

    "may" where it depends on the arguments, or on what the program did before.
    """
    if not decide_tool(tools, facts.name).allowed:
        return "deny"
    possible = _possible(approvals, facts, environments)
    if possible == {"deny"}:
        return "deny"
    if "ask" in possible:
        return "may ask" if "allow" in possible else "ask"
    return "may deny" if "deny" in possible else ""


def _possible(approvals: ApprovalRules, facts: ToolFacts, environments: Sequence[Environment]) -> set[Action]:
    """Every action that the first matching rule may have."""
    found: set[Action] = set()
    for rule in approvals.rules:
        certainty = _certainty(rule, facts, environments)
        if certainty != "never":
            found.add(rule.action)
        if certainty == "always":
            return found
    return {*found, "allow"}


def _certainty(rule: ApprovalRule, facts: ToolFacts, environments: Sequence[Environment]) -> _Certainty:
    """Whether the rule matches every call of the tool, none, or some."""
    inside = [each for each in environments if not rule.environments or each in rule.environments]
    if not inside or not _is_meant(rule, facts):
        return "never"
    certain = len(inside) == len(environments) and not rule.arguments and not rule.after_writes
    if rule.risk_at_least is not None:
        if max(_risk(facts, each, worst=True) for each in inside) < rule.risk_at_least:
            return "never"
        certain = certain and min(_risk(facts, each, worst=False) for each in inside) >= rule.risk_at_least
    return "always" if certain else "maybe"


def _is_meant(rule: ApprovalRule, facts: ToolFacts) -> bool:
    """By all that holds for every call of a tool."""
    return (
        (not rule.kinds or "tool" in rule.kinds)
        and (not rule.tools or name_matches_any(rule.tools, facts.name))
        and (not rule.methods or method_named(rule.methods, facts.method))
        and (not rule.effects or any(has_effect(facts.effect, word) for word in rule.effects))
    )


def _risk(facts: ToolFacts, environment: Environment, *, worst: bool) -> int:
    """Of the least or the most risky call of the tool."""
    call = CallFacts(
        kind="tool",
        tool=facts.name,
        method=facts.method,
        effect=facts.effect,
        environment=environment,
        arguments=_MANY if worst else {},
        earlier_writes=MOST_FOR_EARLIER if worst else 0,
        undoable=facts.undoable,
    )
    return risk_of(call).score
