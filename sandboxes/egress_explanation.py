"""What would happen to a request and why, in lines for people. Pure."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from .address import special_kind
from .egress_decision import Decision, decide
from .egress_rule import EgressRule
from .hostname import is_address
from .private_service import PrivateService, addresses_of, refuse_service
from .request_facts import RequestFacts
from .rule_match import BodyNeeded, Fault, match
from .rule_set import RuleSet


def explain(
    rules: RuleSet,
    request: RequestFacts,
    *,
    environment: str,
    hosts: Mapping[str, str],
    services: Mapping[str, PrivateService],
) -> tuple[bool, list[str]]:
    """Whether it would leave, and why. `hosts` are names with an address of their own."""
    decision = decide(rules, request)
    refused_address = _refused_address(decision, request, addresses_of(hosts, services))
    if decision.body_limit is None:
        rule = decision.rule if decision.allowed else None
        refused_address = refuse_service(services, rule, request.host, request.port) or refused_address
    reported = not decision.allowed and decision.body_limit is None and rules.reports_in(environment)
    secret = decision.rule is not None and bool(decision.rule.injections)
    leaves = (decision.allowed or (reported and not secret)) and refused_address is None
    lines = [*_verdict(decision, refused_address), *(_reported(secret=secret) if reported else [])]
    each = [_line(rule, request, decision) for rule in rules.rules]
    lines += ["", *(each or ["there are no rules"])]
    if decision.hint is not None:
        lines += ["", "the smallest rule that would allow it:", *_yaml(decision.hint)]
    return leaves, lines


def _verdict(decision: Decision, refused_address: str | None) -> Iterator[str]:
    if decision.body_limit is not None:
        yield f"not decided without its body: {decision.reason}; give it with --body or --body-file"
        return
    if not decision.allowed:
        yield f"refused ({decision.code}): {decision.reason}"
        return
    rule = decision.rule
    assert rule is not None
    yield f"refused (address): {refused_address}" if refused_address else f'allowed by rule "{rule.name}"'
    for injection in rule.injections if not refused_address else ():
        yield f"  with the credential {injection.redacted()}"
    if rule.networks:
        yield f"  may reach the networks {', '.join(rule.networks)} beside public addresses"
    elif not refused_address:
        yield "  if every address of its name is a public one, which is checked when it connects"


def _reported(*, secret: bool) -> Iterator[str]:
    if secret:
        yield "  mode report does not let it go, because the closest rule would add a secret"
    else:
        yield "  mode report records this and lets it go, to public addresses and without a secret"


def _refused_address(decision: Decision, request: RequestFacts, hosts: Mapping[str, str]) -> str | None:
    """Why the address would be refused, as far as one is known without asking DNS."""
    text = request.host if is_address(request.host) else hosts.get(request.host)
    if text is None:
        return None
    address = ipaddress.ip_address(text)
    kind = special_kind(address)
    networks = decision.rule.networks if decision.allowed and decision.rule else ()
    if kind is None or any(address in ipaddress.ip_network(network) for network in networks):
        return None
    return f"{address} is {kind}, and the rule's networks do not name it"


def _line(rule: EgressRule, request: RequestFacts, decision: Decision) -> str:
    found = match(rule, request)
    match found:
        case None:
            said = "allows it" + ("" if rule == decision.rule else ", but another comes first")
        case BodyNeeded():
            said = "is decided by the body"
        case Fault():
            said = f"{found.step}: {found.said}" + ("  <- closest" if rule == decision.rule else "")
    return f"  {rule.name}  {said}"


def _yaml(hint: dict[str, Any]) -> list[str]:
    written = yaml.safe_dump([{"name": "...", **hint}], sort_keys=False, default_flow_style=None, width=110)
    return [f"  {line}" for line in written.splitlines()]
