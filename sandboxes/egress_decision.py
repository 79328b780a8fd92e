"""Whether a rule set lets a request leave. Pure: values in, a decision with its reason out."""

from dataclasses import dataclass
from typing import Any, Literal

from .egress_rule import EgressRule
from .request_facts import RequestFacts
from .rule_match import BodyNeeded, Fault, Step, host_named, match
from .rule_set import RuleSet
from .smallest_rule import smallest_rule

Code = Literal["allowed", "body_needed"] | Step


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """`rule` allowed the request or, refused, came closest; `hint` is then the smallest rule that would allow it.

    With `body_limit` nothing is decided yet: decide again with the whole body, which has at most so many bytes.
    """

    allowed: bool
    code: Code
    reason: str
    rule: EgressRule | None = None
    hint: dict[str, Any] | None = None
    body_limit: int | None = None


def decide(rules: RuleSet, request: RequestFacts) -> Decision:
    """The first rule that allows the request, or the refusal that names what the closest rule lacked."""
    closest: tuple[Fault, EgressRule] | None = None
    limit: int | None = None
    for rule in rules.rules:
        found = match(rule, request)
        if isinstance(found, BodyNeeded):
            limit = max(limit or 0, found.limit)
        elif found is None:
            return _body_needed(limit) if limit is not None else _allowed(rule)
        elif closest is None or found.passed > closest[0].passed:
            closest = (found, rule)
    return _body_needed(limit) if limit is not None else _refusal(closest, request)


def decide_tunnel(rules: RuleSet, host: str, port: int) -> Decision:
    """Whether any request in a tunnel to `host:port` could be allowed. Each one inside is decided by itself."""
    closest: EgressRule | None = None
    for rule in rules.rules:
        if not host_named(rule, host):
            continue
        closest = rule
        if any(rule.allows_port(scheme, port) for scheme in rule.schemes):
            return _allowed(rule)
    code: Code = "port" if closest else "host"
    reason = f"no rule allows port {port} of {host}" if closest else f"no rule names the host {host}"
    return Decision(allowed=False, code=code, reason=reason, rule=closest, hint={"hosts": [host], "ports": [port]})


def _allowed(rule: EgressRule) -> Decision:
    return Decision(allowed=True, code="allowed", reason=f'rule "{rule.name}"', rule=rule)


def _body_needed(limit: int) -> Decision:
    reason = f"the request's body decides, up to {limit} bytes of it"
    return Decision(allowed=False, code="body_needed", reason=reason, body_limit=limit)


def _refusal(closest: tuple[Fault, EgressRule] | None, request: RequestFacts) -> Decision:
    fault, rule = closest or (Fault(0, "host", ""), None)
    said = {
        "host": f"no rule names the host {request.host}",
        "scheme": f"no rule allows {request.scheme} to {request.host}",
        "port": f"no rule allows port {request.port} of {request.host}",
        "method": f"no rule allows {request.method} to {request.host}",
        "path": f"no rule allows {request.method} {request.path} on {request.host}",
    }
    closest_rule = rule if fault.step != "host" else None
    reason = said.get(fault.step) or f'rule "{rule.name if rule else ""}": {fault.said}'
    hint = smallest_rule(request, closest_rule)
    return Decision(allowed=False, code=fault.step, reason=reason, rule=closest_rule, hint=hint)
