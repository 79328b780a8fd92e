"""Whether a rule set lets a request leave. Pure: values in, a decision with its reason out."""

from dataclasses import dataclass
from typing import Any, Literal

from .egress_rule import EgressRule
from .host_pattern import host_matches
from .path_pattern import path_matches
from .rule_set import RuleSet

Code = Literal["allowed", "host", "scheme", "port", "method", "path"]
_STEPS: tuple[Code, ...] = ("host", "scheme", "port", "method", "path")


@dataclass(frozen=True, kw_only=True, slots=True)
class RequestFacts:
    """What a decision is made on: canonical host and path, never what only the client says."""

    method: str
    scheme: str
    host: str
    port: int
    path: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """`rule` allowed the request or, refused, came closest; `hint` is then the smallest rule that would allow it."""

    allowed: bool
    code: Code
    reason: str
    rule: EgressRule | None = None
    hint: dict[str, Any] | None = None


def decide(rules: RuleSet, request: RequestFacts) -> Decision:
    """The first rule that allows the request, or the refusal that names what the closest rule lacked."""
    closest: tuple[int, EgressRule | None] = (0, None)
    for rule in rules.rules:
        passed = _passed(rule, request)
        if passed == len(_STEPS):
            return Decision(allowed=True, code="allowed", reason=f'rule "{rule.name}"', rule=rule)
        if passed > closest[0]:
            closest = (passed, rule)
    step, rule_or_none = closest
    return _refusal(_STEPS[step], rule_or_none, request)


def decide_tunnel(rules: RuleSet, host: str, port: int) -> Decision:
    """Whether any request in a tunnel to `host:port` could be allowed. Each one inside is decided by itself."""
    closest: EgressRule | None = None
    for rule in rules.rules:
        if not _host_matches(rule, host):
            continue
        closest = rule
        if any(rule.allows_port(scheme, port) for scheme in rule.schemes):
            return Decision(allowed=True, code="allowed", reason=f'rule "{rule.name}"', rule=rule)
    code: Code = "port" if closest else "host"
    reason = f"no rule allows port {port} of {host}" if closest else f"no rule names the host {host}"
    return Decision(allowed=False, code=code, reason=reason, rule=closest, hint={"hosts": [host], "ports": [port]})


def _passed(rule: EgressRule, request: RequestFacts) -> int:
    """How many of the steps the rule lets the request pass, in order."""
    checks = (
        _host_matches(rule, request.host),
        request.scheme in rule.schemes,
        rule.allows_port(request.scheme, request.port),
        "*" in rule.methods or request.method in rule.methods,
        any(path_matches(pattern, request.path) for pattern in rule.paths),
    )
    return checks.index(False) if False in checks else len(checks)


def _refusal(step: Code, rule: EgressRule | None, request: RequestFacts) -> Decision:
    said = {
        "host": f"no rule names the host {request.host}",
        "scheme": f"no rule allows {request.scheme} to {request.host}",
        "port": f"no rule allows port {request.port} of {request.host}",
        "method": f"no rule allows {request.method} to {request.host}",
        "path": f"no rule allows {request.method} {request.path} on {request.host}",
    }
    return Decision(allowed=False, code=step, reason=said[step], rule=rule, hint=smallest_rule(request))


def smallest_rule(request: RequestFacts) -> dict[str, Any]:
    """The least that would have to be allowed for this request, in the form a profile writes it."""
    return {
        "hosts": [request.host],
        "ports": [request.port],
        "schemes": [request.scheme],
        "methods": [request.method],
        "paths": [request.path],
    }


def _host_matches(rule: EgressRule, host: str) -> bool:
    return any(host_matches(pattern, host) for pattern in rule.hosts)
