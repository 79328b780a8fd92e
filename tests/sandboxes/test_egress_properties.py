"""Properties of egress decisions."""

import json
from dataclasses import replace
from itertools import permutations
from typing import Any

from hypothesis import assume, event, given
from hypothesis import strategies as st

from sandboxes.egress_decision import decide
from sandboxes.egress_rule import EgressRule
from sandboxes.request_facts import RequestFacts
from sandboxes.rule_set import RuleSet
from tests.sandboxes.egress_world import (
    BASE,
    CONSTRAINTS,
    HOST_PATTERNS,
    MESSAGES,
    PATH_PATTERNS,
    READ,
    RULES,
    decided,
    made,
    requests,
)

# The reference: slow, obvious, and written from the documentation rather than from the code.


def allows(rule: dict[str, Any], request: RequestFacts) -> bool:
    ports = rule["ports"] or [{"http": 80, "https": 443}[request.scheme]]
    return (
        any(HOST_PATTERNS[pattern](request.host) for pattern in rule["hosts"])
        and any(PATH_PATTERNS[pattern](request.path) for pattern in rule["paths"])
        and ("*" in rule["methods"] or request.method in rule["methods"])
        and request.scheme in rule["schemes"]
        and request.port in ports
        and _query_allows(rule, request)
        and _header_allows(rule, request)
        and _body_allows(rule, request)
        and _message_allows(rule, request)
    )


def _field_allows(field: dict[str, Any], value: str | None) -> bool:
    presence = field.get("presence", "required")
    if value is None:
        return presence in {"optional", "absent"}
    if presence == "absent":
        return False
    if "values" in field:
        return value in field["values"]
    return value in {"0", "1"} if "pattern" in field else True


def _query_allows(rule: dict[str, Any], request: RequestFacts) -> bool:
    if "query" not in rule and "query_exact" not in rule:
        return True
    read = READ[request.query]
    if request.query == "q=1&q=2" and "q" not in rule.get("query", {}):
        return "query_exact" not in rule and all(_field_allows(f, None) for f in rule.get("query", {}).values())
    if read is None:
        return False
    wanted = rule.get("query", {})
    if "Q" in read and "q" in wanted:
        return False
    if "query_exact" in rule and set(read) - set(wanted):
        return False
    return all(_field_allows(field, read.get(name)) for name, field in wanted.items())


def _header_allows(rule: dict[str, Any], request: RequestFacts) -> bool:
    values = [value.decode() for name, value in request.headers if name.lower() == b"x-t"]
    if "headers" not in rule:
        return True
    return len(values) < 2 and _field_allows(rule["headers"]["x-t"], values[0] if values else None)


def _media(request: RequestFacts) -> str:
    return next((value.decode() for name, value in request.headers if name == b"content-type"), "")


def _body_allows(rule: dict[str, Any], request: RequestFacts) -> bool:
    body = rule.get("body", {})
    if len(request.body or b"") > body.get("max_bytes", 1_000_000):
        return False
    types = body.get("content_types")
    if not types or not request.body:
        return True
    return _media(request) in types or (_media(request).startswith("text/") and "text/*" in types)


def _message_allows(rule: dict[str, Any], request: RequestFacts) -> bool:
    kind = next((kind for kind in ("jsonrpc", "mcp", "graphql") if kind in rule), None)
    if kind is None:
        return True
    if not request.body:
        return kind == "mcp" and request.method in {"GET", "DELETE"}
    if _media(request) != "application/json":
        return False
    try:
        value = json.loads(request.body)
    except ValueError:
        return False
    elements = value if isinstance(value, list) else [value]
    return all(_ELEMENT[kind](rule[kind], element) for element in elements)


def _call_allows(rule: dict[str, Any], call: dict[str, Any]) -> bool:
    method = call.get("method", "")
    return (method == "other" and "other" in rule["methods"]) or (
        method.startswith("tools/") and "tools/*" in rule["methods"]
    )


def _mcp_allows(rule: dict[str, Any], call: dict[str, Any]) -> bool:
    method, params = call.get("method", ""), call.get("params", {})
    if method == "tools/call":
        fixed = rule.get("arguments", {}).get(params["name"], {})
        return params["name"] in rule.get("tools", []) and (not fixed or params.get("arguments", {}).get("n") == 1)
    return method == "tools/list" or method in rule.get("methods", [])


def _graphql_allows(rule: dict[str, Any], members: dict[str, Any]) -> bool:
    if members.get("documentId") == "stored":
        return "stored" in rule.get("persisted", [])
    kinds = {"{ a }": "query", "mutation { a }": "mutation"}
    kind = "query" if members.get("operationName") == "A" else kinds.get(members.get("query", ""))
    return kind in rule["operations"]


_ELEMENT = {"jsonrpc": _call_allows, "mcp": _mcp_allows, "graphql": _graphql_allows}


@given(st.lists(RULES, max_size=4), requests())
def test_decisions_agree_with_a_slow_reference(rules: list[dict[str, Any]], request: RequestFacts) -> None:
    first = next((f"r{number}" for number, rule in enumerate(rules) if allows(rule, request)), None)
    decision = decided(request, *rules)
    event("allowed" if decision.allowed else decision.code)
    assert decision.allowed == (first is not None)
    if decision.allowed:
        assert decision.rule is not None
        assert decision.rule.name == first


def _both(few: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """The constraints of `few`, and those of `more` beside them.

    Under `query_exact` the names under `query` are a list of what may be there, so another name widens the rule unless
    it says that the parameter must be absent.
    """
    sections = {key: {**more.get(key, {}), **few.get(key, {})} for key in ("query", "headers", "body")}
    if "query_exact" in few:
        listed = few.get("query", {})
        sections["query"] = {
            name: field
            for name, field in sections["query"].items()
            if name in listed or field.get("presence") == "absent"
        }
    exact = {"query_exact": True} if "query_exact" in {**few, **more} else {}
    return {**few, **exact, **{key: value for key, value in sections.items() if value}}


@given(BASE, CONSTRAINTS, CONSTRAINTS, MESSAGES, requests())
def test_another_constraint_never_allows_more(
    base: dict[str, Any], few: dict[str, Any], more: dict[str, Any], message: dict[str, Any], request: RequestFacts
) -> None:
    """A whole section more, a field more in a section, a message more: never an allowed request more."""
    narrow = {**base, **_both(few, more)}
    if decided(request, narrow).allowed:
        assert decided(request, {**base, **few}).allowed
    if decided(request, {**narrow, **message}).allowed:
        assert decided(request, narrow).allowed
        assert decided(request, {**base, **few, **message}).allowed


@given(RULES, st.sampled_from(["hosts", "paths", "methods", "schemes"]), requests())
def test_a_shorter_list_never_allows_more(rule: dict[str, Any], field: str, request: RequestFacts) -> None:
    assume(len(rule[field]) > 1)
    if decided(request, {**rule, field: rule[field][1:]}).allowed:
        assert decided(request, rule).allowed


@given(st.lists(RULES, max_size=3), requests(), st.booleans())
def test_the_smallest_rule_allows_the_request_and_nothing_elsewhere(
    rules: list[dict[str, Any]], request: RequestFacts, body_known: bool
) -> None:
    asked = request if body_known else replace(request, body=None)
    decision = decided(asked, *rules)
    assume(not decision.allowed and decision.body_limit is None)
    assert decision.hint is not None
    hint = json.loads(json.dumps(decision.hint))
    assert decided(request, hint).allowed
    for elsewhere in (
        {"host": "elsewhere.test"},
        {"host": f"x.{request.host}" if request.host.endswith(".test") else "10.0.0.2"},
        {"port": 1},
        {"scheme": "http" if request.scheme == "https" else "https"},
        {"path": f"{request.path}x"},
        {"path": f"{request.path.rstrip('/')}/x"},
        *([{"method": "PUT"}] if request.method.isupper() else []),
    ):
        assert not decided(replace(request, **elsewhere), hint).allowed


@given(st.lists(RULES, min_size=1, max_size=3), requests())
def test_the_order_of_rules_decides_which_allows_and_never_whether(
    rules: list[dict[str, Any]], request: RequestFacts
) -> None:
    by_order = [decide(RuleSet(rules=tuple(order)), request) for order in permutations(_named(rules))]
    assert len({decision.allowed for decision in by_order}) == 1
    for order, decision in zip(permutations(_named(rules)), by_order, strict=True):
        if decision.allowed:
            assert decision.rule == next(rule for rule in order if decide(RuleSet(rules=(rule,)), request).allowed)


def _named(rules: list[dict[str, Any]]) -> list[EgressRule]:
    return [made(rule, f"r{number}") for number, rule in enumerate(rules)]


@given(st.lists(RULES, max_size=3), requests(), st.booleans())
def test_what_a_head_decides_its_body_does_not_change(
    rules: list[dict[str, Any]], request: RequestFacts, length_known: bool
) -> None:
    whole = decided(request, *rules)
    assert whole.body_limit is None
    head = replace(request, body=None, body_length=request.body_length if length_known or not request.body else None)
    first = decided(head, *rules)
    event("undecided" if first.body_limit is not None else "decided")
    if first.body_limit is None:
        assert (first.allowed, first.rule if first.allowed else None) == (
            whole.allowed,
            whole.rule if whole.allowed else None,
        )
