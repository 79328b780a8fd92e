"""Whether everything that one rule allows is allowed by another: rules compared as sets of requests, not as text.

Never yes where a request could tell them apart; sometimes no where none could.
"""

from collections.abc import Iterable, Mapping

from .egress_rule import EgressRule
from .field_rule import FieldRule
from .host_pattern import host_covers
from .json_rpc import name_matches
from .mcp_message import McpRule
from .media_type import type_matches
from .path_pattern import path_covers, path_meets
from .query_string import single_values
from .text_pattern import text_matches


def covers(wide: EgressRule, narrow: EgressRule) -> bool:
    """Whether `wide` allows every request that `narrow` does."""
    return covers_places(wide, narrow) and _covers_query(wide, narrow) and _covers_headers(wide, narrow) and (
        _covers_body(wide, narrow) and _covers_message(wide, narrow)
    )  # fmt: skip


def covers_places(wide: EgressRule, narrow: EgressRule) -> bool:
    """The same for hosts, ports, schemes, methods and paths alone."""
    ports = all(wide.allows_port(scheme, port) for scheme in narrow.schemes for port in narrow.ports_for(scheme))
    return (
        ports
        and set(narrow.schemes) <= set(wide.schemes)
        and ("*" in wide.methods or set(narrow.methods) <= set(wide.methods))
        and all(any(host_covers(one, host) for one in wide.hosts) for host in narrow.hosts)
        and all(any(path_covers(one, path) for one in wide.paths) for path in narrow.paths)
    )


def meets_places(one: EgressRule, other: EgressRule) -> bool:
    """Whether a request might be allowed by both, by hosts, ports, schemes, methods and paths. Yes where in doubt."""
    ports = any(one.allows_port(scheme, port) for scheme in other.schemes for port in other.ports_for(scheme))
    methods = "*" in one.methods or "*" in other.methods or set(one.methods) & set(other.methods)
    hosts = any(host_covers(a, b) or host_covers(b, a) for a in one.hosts for b in other.hosts)
    paths = any(path_meets(a, b) for a in one.paths for b in other.paths)
    return ports and hosts and paths and bool(methods) and bool(set(one.schemes) & set(other.schemes))


def field_covers(wide: FieldRule, narrow: FieldRule) -> bool:
    """Whether every value, or absence, that `narrow` allows is allowed by `wide`."""
    if not _presences(narrow) <= _presences(wide):
        return False
    if narrow.presence == "absent" or (not wide.values and wide.pattern is None):
        return True
    if wide.values:
        return bool(narrow.values) and all(wide.fault(present=True, value=value) is None for value in narrow.values)
    same = narrow.pattern == wide.pattern
    return same or (bool(narrow.values) and all(_matches(wide.pattern or "", value) for value in narrow.values))


def _matches(pattern: str, value: object) -> bool:
    return isinstance(value, str) and text_matches(pattern, value)


def _presences(field: FieldRule) -> set[bool]:
    return {"required": {True}, "optional": {True, False}, "absent": {False}}[field.presence]


def _fields_cover(wide: Mapping[str, FieldRule], narrow: Mapping[str, FieldRule | None]) -> bool:
    """A field that `narrow` leaves free is covered by none: it may be there twice."""
    given = {name: narrow.get(name) for name in wide}
    return all(field is not None and field_covers(wide[name], field) for name, field in given.items())


def _covers_query(wide: EgressRule, narrow: EgressRule) -> bool:
    if not wide.query and not wide.query_exact:
        return True
    if not narrow.query and not narrow.query_exact:
        return False  # its query is not even read
    possible = {name for name, field in narrow.query.items() if field.presence != "absent"}
    if wide.query_exact and not (narrow.query_exact and possible <= wide.query.keys()):
        return False
    try:
        single_values(tuple((name, "") for name in possible), frozenset(wide.query))
    except ValueError:
        return False  # a name that `wide` would take for one of its own
    # A parameter that `narrow` does not name is free there, unless it names all there are.
    left_out = FieldRule(presence="absent") if narrow.query_exact else None
    return _fields_cover(wide.query, {name: narrow.query.get(name, left_out) for name in wide.query})


def _covers_headers(wide: EgressRule, narrow: EgressRule) -> bool:
    return _fields_cover(wide.headers, narrow.headers)


def _covers_body(wide: EgressRule, narrow: EgressRule) -> bool:
    limit, other = wide.body_limit(), narrow.body_limit()
    if limit is not None and (other is None or other > limit):
        return False
    types = wide.body.content_types if wide.body else ()
    others = narrow.body.content_types if narrow.body else ()
    return not types or (bool(others) and all(any(type_matches(one, other) for one in types) for other in others))


def _covers_message(wide: EgressRule, narrow: EgressRule) -> bool:
    if not wide.reads_body():
        return True
    if wide.jsonrpc is not None and narrow.jsonrpc is not None:
        return _names_cover(wide.jsonrpc.methods, narrow.jsonrpc.methods)
    if wide.mcp is not None and narrow.mcp is not None:
        return _mcp_covers(wide.mcp, narrow.mcp)
    if wide.graphql is not None and narrow.graphql is not None:
        operations = set(narrow.graphql.operations) <= set(wide.graphql.operations)
        return operations and set(narrow.graphql.persisted) <= set(wide.graphql.persisted)
    return False


def _mcp_covers(wide: McpRule, narrow: McpRule) -> bool:
    arguments = all(
        _fields_cover(fields, narrow.arguments.get(tool, {}))
        for tool, fields in wide.arguments.items()
        if any(name_matches(pattern, tool) for pattern in narrow.tools)
    )
    return arguments and _names_cover(wide.tools, narrow.tools) and _names_cover(wide.methods, narrow.methods)


def _names_cover(wide: Iterable[str], narrow: Iterable[str]) -> bool:
    patterns = tuple(wide)
    return all(any(_name_covers(pattern, name) for pattern in patterns) for name in narrow)


def _name_covers(pattern: str, name: str) -> bool:
    """`a*` covers `ab*`: what stands before the star of one begins with what stands before that of the other."""
    return pattern == name or (pattern.endswith("*") and name.removesuffix("*").startswith(pattern[:-1]))
