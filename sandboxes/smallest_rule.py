"""The least that would have to be allowed for one request, in the form a profile writes it."""

from collections.abc import Iterable
from typing import Any

from .egress_rule import MAX_QUERY_FIELDS, EgressRule, check_method
from .graphql_operation import operations_of_body, operations_of_query
from .json_rpc import Call, check_name_pattern, parse_calls
from .mcp_message import HANDSHAKE, TOOL_CALL, has_alike, tool_call
from .media_type import check_media_type, is_json, is_utf8, media_type
from .query_string import parse_query, single_values
from .request_facts import RequestFacts


def smallest_rule(request: RequestFacts, closest: EgressRule | None = None) -> dict[str, Any]:
    """The fields of a rule without its name. What the request does not say in one way only is left free.

    `closest`, the rule that came closest, tells as what to read the body, and which headers matter.
    """
    rule: dict[str, Any] = {
        "hosts": [request.host],
        "ports": [request.port],
        "schemes": [request.scheme],
        "methods": [_method(request.method)],
        "paths": [_path(request.path)],
    }
    return {**rule, **_query(request), **_headers(request, closest), **_body(request), **_message(request, closest)}


def without_values(hint: dict[str, Any] | None) -> dict[str, Any] | None:
    """The same for records, which hold no values of queries, headers or arguments."""
    if hint is None:
        return None
    kept = {key: value for key, value in hint.items() if key != "headers"}
    if "query" in hint:
        kept["query"] = {name: {} for name in hint["query"]}
    if "mcp" in hint:
        kept["mcp"] = {key: value for key, value in hint["mcp"].items() if key != "arguments"}
    return kept


def _method(method: str) -> str:
    """Rules write methods in capitals; `*` is the only one that allows another."""
    try:
        return check_method(method)
    except ValueError:
        return "*"


def _path(path: str) -> str:
    """A star in a path can only be written as any segment."""
    return "/".join("*" if "*" in segment else segment for segment in path.split("/"))


def _query(request: RequestFacts) -> dict[str, Any]:
    if not request.query:
        return {}
    try:
        parameters = parse_query(request.query)
        found = single_values(parameters, frozenset(name for name, _ in parameters))
    except ValueError:
        return {}
    if len(found) > MAX_QUERY_FIELDS:
        return {}
    return {"query": {name: {"values": [value]} for name, value in found.items()}, "query_exact": True}


def _headers(request: RequestFacts, closest: EgressRule | None) -> dict[str, Any]:
    wanted = closest.headers if closest else {}
    names = [name.lower().decode("latin-1") for name, _ in request.headers]
    said = dict(zip(names, (value.decode("latin-1").strip() for _, value in request.headers), strict=True))
    present = {name: {"values": [said[name]]} for name in wanted if names.count(name) == 1}
    return {"headers": present} if present else {}


def _body(request: RequestFacts) -> dict[str, Any]:
    length = request.length()
    if length == 0:
        return {}
    body: dict[str, Any] = {} if length is None else {"max_bytes": length}
    try:
        media = media_type(request.headers)
        if media is not None:
            body["content_types"] = [check_media_type(media)]
    except ValueError:
        pass
    return {"body": body} if body else {}


def _message(request: RequestFacts, closest: EgressRule | None) -> dict[str, Any]:
    if closest is None or not closest.reads_body() or (not request.body and request.body_length != 0):
        return {}
    try:
        if request.body and not (is_json(media_type(request.headers) or "") and is_utf8(request.headers)):
            return {}
        if closest.graphql is not None:
            return _graphql(request)
        calls = parse_calls(request.body or b"")
        methods = {_exact(call.method) for call in calls}
        return _mcp(calls) if closest.mcp is not None else {"jsonrpc": {"methods": sorted(methods)}}
    except ValueError:
        return {}


def _graphql(request: RequestFacts) -> dict[str, Any]:
    found = operations_of_body(request.body) if request.body else operations_of_query(request.query)
    kinds = {operation.kind for operation in found if operation.kind is not None}
    persisted = {operation.persisted for operation in found if operation.kind is None and operation.persisted}
    said = {"operations": sorted(kinds), "persisted": sorted(persisted)}
    return {"graphql": {key: value for key, value in said.items() if value}}


def _mcp(calls: Iterable[Call]) -> dict[str, Any]:
    methods: set[str] = set()
    tools: dict[str, list[dict[str, Any]]] = {}
    for call in calls:
        method = _exact(call.method)
        if method == TOOL_CALL:
            name, arguments = tool_call(call.params)
            tools.setdefault(_exact(name), []).append(arguments)
        elif method not in HANDSHAKE:
            methods.add(method)
    said = {
        "tools": sorted(tools),
        "arguments": {tool: rules for tool, calls in sorted(tools.items()) if (rules := _arguments(calls))},
        "methods": sorted(methods),
    }
    return {"mcp": {key: value for key, value in said.items() if value}}


def _arguments(calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Each argument with the values it had; objects and arrays are left free, and names that some would confuse."""
    rules: dict[str, Any] = {}
    names = {name for call in calls for name in call}
    for name in sorted(names):
        if has_alike(names, name):
            continue
        had = [call[name] for call in calls if name in call]
        presence = {} if len(had) == len(calls) else {"presence": "optional"}
        scalars = all(value is None or isinstance(value, bool | int | float | str) for value in had)
        rules[name] = {**presence, **({"values": had} if scalars else {})}
    return rules


def _exact(name: str | None) -> str:
    """A name as a pattern for itself only. Raises ValueError if there is none."""
    if not name or "*" in name or len(name) > 200:  # noqa: PLR2004 - as long as a pattern may be
        raise ValueError("no pattern is exactly this name")
    return check_name_pattern(name)
