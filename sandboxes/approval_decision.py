"""Whether a call may go at once, has to be asked for, or is refused: a pure function over rules and facts."""

from dataclasses import dataclass, field

from .approval_rule import DAY_S, Action, ApprovalRules
from .call_facts import CallFacts
from .risk import Risk, risk_of


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalDecision:
    """`rule` is the one that decided, empty where none matched. The rest holds for `ask`: see ApprovalRule."""

    action: Action
    reason: str
    rule: str = ""
    risk: Risk = field(default_factory=Risk)
    approvers: int = 1
    expires_s: int = DAY_S
    self_approval: bool = False


def decide_approval(rules: ApprovalRules, facts: CallFacts) -> ApprovalDecision:
    """What the first matching rule says. A rule that cannot be evaluated denies."""
    try:
        return _decide(rules, facts)
    except Exception as error:  # noqa: BLE001 - on a decision's path everything unforeseen denies
        return ApprovalDecision(action="deny", reason=f"the approval rules could not be read: {type(error).__name__}")


def _decide(rules: ApprovalRules, facts: CallFacts) -> ApprovalDecision:
    risk = risk_of(facts)
    for rule in rules.rules:
        if rule.matches(facts, risk.score):
            return ApprovalDecision(
                action=rule.action,
                reason=rule.reason or f"rule {rule.name} of the profile's approvals says {rule.action}",
                rule=rule.name,
                risk=risk,
                approvers=rule.approvers,
                expires_s=rule.expires_s,
                self_approval=rule.self_approval,
            )
    return ApprovalDecision(action="allow", reason="no rule of the profile's approvals matches", risk=risk)
