"""What one rule says of one request: nothing against it, what it lacks first, or that its body must be read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from .body_rule import HELD_BODY, MAX_HELD_BODY
from .egress_rule import EgressRule
from .graphql_operation import GraphqlRule, check_query_beside_body, operations_of_body, operations_of_query
from .host_pattern import host_matches
from .json_rpc import Call, first_fault, parse_calls
from .media_type import is_json, is_utf8, media_type, type_matches
from .path_pattern import path_matches
from .query_string import parse_query, single_values
from .request_facts import RequestFacts

Step = Literal[
    "host", "scheme", "port", "method", "path", "query", "header", "body_size", "content_type",
    "jsonrpc", "mcp", "graphql",
]  # fmt: skip
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Fault:
    """The first thing a request lacks for a rule: how many steps it passed, and what is wrong, without its values."""

    passed: int
    step: Step
    said: str


@dataclass(frozen=True, slots=True)
class BodyNeeded:
    """The rule allows the head and is decided by a body of at most `limit` bytes."""

    limit: int


_Check = Callable[[EgressRule, RequestFacts], str | BodyNeeded | None]


def match(rule: EgressRule, request: RequestFacts) -> Fault | BodyNeeded | None:
    """None if the rule allows the request. A body is asked for only when nothing else is in the way."""
    needed: BodyNeeded | None = None
    for passed, (step, check) in enumerate(_CHECKS):
        found = check(rule, request)
        if isinstance(found, BodyNeeded):
            needed = needed or found
        elif found is not None:
            return Fault(passed, step or _kind(rule), found)
    return needed


def host_named(rule: EgressRule, host: str) -> bool:
    """Whether one of the rule's patterns names the canonical host."""
    return any(host_matches(pattern, host) for pattern in rule.hosts)


def _host(rule: EgressRule, request: RequestFacts) -> str | None:
    return None if host_named(rule, request.host) else "it names other hosts"


def _scheme(rule: EgressRule, request: RequestFacts) -> str | None:
    return None if request.scheme in rule.schemes else "it names other schemes"


def _port(rule: EgressRule, request: RequestFacts) -> str | None:
    return None if rule.allows_port(request.scheme, request.port) else "it names other ports"


def _method(rule: EgressRule, request: RequestFacts) -> str | None:
    return None if "*" in rule.methods or request.method in rule.methods else "it names other methods"


def _path(rule: EgressRule, request: RequestFacts) -> str | None:
    return None if any(path_matches(pattern, request.path) for pattern in rule.paths) else "it names other paths"


def _query(rule: EgressRule, request: RequestFacts) -> str | None:
    if not rule.query and not rule.query_exact:
        return None
    try:
        parameters = parse_query(request.query)
        found: Mapping[str, str] = single_values(parameters, frozenset(rule.query))
    except ValueError as error:
        return str(error)
    if rule.query_exact and len(found) != len(parameters):
        return "the query has a parameter that the rule does not name"
    for name, wanted in rule.query.items():
        said = wanted.fault(present=name in found, value=found.get(name))
        if said is not None:
            return f'the query parameter "{name}" {said}'
    return None


def _headers(rule: EgressRule, request: RequestFacts) -> str | None:
    for name, wanted in rule.headers.items():
        values = [value for other, value in request.headers if other.lower() == name.encode()]
        if len(values) > 1:
            return f'the header "{name}" is given twice'
        said = wanted.fault(present=bool(values), value=values[0].decode("latin-1").strip() if values else None)
        if said is not None:
            return f'the header "{name}" {said}'
    return None


def _body_size(rule: EgressRule, request: RequestFacts) -> str | BodyNeeded | None:
    limit, length = rule.body_limit(), request.length()
    if limit is None:
        return None
    if length is not None:
        return None if length <= limit else f"the body has more than {limit} bytes"
    return BodyNeeded(min(limit, MAX_HELD_BODY))


def _content_type(rule: EgressRule, request: RequestFacts) -> str | BodyNeeded | None:
    wanted = rule.body.content_types if rule.body else ()
    if not wanted and not rule.reads_body():
        return None
    try:
        media = media_type(request.headers)
    except ValueError as error:
        return str(error)
    length = request.length()
    if length == 0 and (media is None or not rule.reads_body()):
        return None
    if media is None and length is None:
        return BodyNeeded(rule.body_limit() or HELD_BODY)
    if wanted and not (media is not None and any(type_matches(pattern, media) for pattern in wanted)):
        return f"the content type must be {', '.join(wanted)}"
    if not rule.reads_body():
        return None
    if media is None or not is_json(media):
        return "the content type must be JSON"
    return None if is_utf8(request.headers) else "the body's character set must be UTF-8"


def _message(rule: EgressRule, request: RequestFacts) -> str | BodyNeeded | None:
    if not rule.reads_body():
        return None
    if request.body is None and request.body_length != 0:
        return BodyNeeded(rule.body_limit() or HELD_BODY)
    body = request.body or b""
    try:
        if rule.graphql is not None:
            return _graphql(rule.graphql, request, body)
        return _calls(rule, request, body)
    except ValueError as error:
        return str(error)


def _calls(rule: EgressRule, request: RequestFacts, body: bytes) -> str | None:
    if not body:
        silent = rule.mcp is not None and request.method in _BODILESS
        return None if silent else "the request has no body"
    fault: Callable[[Call], str | None]
    if rule.mcp is not None:
        fault = rule.mcp.fault
    else:
        assert rule.jsonrpc is not None
        fault = rule.jsonrpc.fault
    said = first_fault(parse_calls(body), fault)
    return said and f"the body {said}"


def _graphql(rule: GraphqlRule, request: RequestFacts, body: bytes) -> str | None:
    if body:
        check_query_beside_body(request.query)
        operations = operations_of_body(body)
    elif request.method in {"GET", "HEAD"}:
        operations = operations_of_query(request.query)
    else:
        return "the request has no body"
    said = next(filter(None, map(rule.fault, operations)), None)
    return said and f"the request {said}"


def _kind(rule: EgressRule) -> Step:
    """What the rule reads bodies as."""
    if rule.graphql is not None:
        return "graphql"
    return "mcp" if rule.mcp is not None else "jsonrpc"


# In this order; the step of the last is what the rule reads bodies as.
_CHECKS: tuple[tuple[Step | None, _Check], ...] = (
    ("host", _host),
    ("scheme", _scheme),
    ("port", _port),
    ("method", _method),
    ("path", _path),
    ("query", _query),
    ("header", _headers),
    ("body_size", _body_size),
    ("content_type", _content_type),
    (None, _message),
)
