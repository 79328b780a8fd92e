"""Rules for what was seen: the narrowest that allow a record's requests. Pure.

Nothing is generalised that was not seen several times: a segment of a path, and nothing else.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from .canonical_json import canonical_json
from .egress_rule import check_method
from .path_pattern import check_path_pattern
from .query_string import single_values

LEAST = 3
"""Different values that a segment must have had before it becomes `*`."""
_BODILESS = frozenset({"GET", "HEAD"})
Place = tuple[str, str, int]


@dataclass(slots=True)
class _Seen:
    """What requests of one method to one path had."""

    queries: list[set[str] | None] = field(default_factory=list)  # names; None: not to be read
    types: set[str] = field(default_factory=set)
    untyped: bool = False
    most_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Learned:
    """Rules as a profile writes them, and notes for whoever reviews them."""

    rules: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]


def learn(records: Iterable[Mapping[str, Any]], *, least: int = LEAST, taken: Iterable[str] = ()) -> Learned:
    """Rules for the requests of these flat records of the event file. `least` 0: no path is generalised.

    `taken` are names that rules already have.
    """
    seen: dict[tuple[Place, str], dict[str, _Seen]] = defaultdict(dict)
    notes: dict[str, None] = {}
    for record in records:
        note = _take(record, seen)
        if note:
            notes[note] = None
    entries = [
        (place, pattern, _wants(method, found), method)
        for (place, method), paths in sorted(seen.items())
        for pattern, found in _generalised(paths, least).items()
    ]
    return Learned(tuple(_rules(entries, set(taken))), tuple(notes))


def _take(record: Mapping[str, Any], seen: dict[tuple[Place, str], dict[str, _Seen]]) -> str | None:
    """Add one record; gives a note where no rule can be made of it, or the rule needs a hand."""
    method, host, path = record.get("method"), record.get("host"), record.get("path")
    if record.get("event") != "egress" or method == "CONNECT" or not host or not path or not record.get("port"):
        return None
    bare, _, query = path.partition("?")
    try:
        check_method(str(method))
        bare = "/".join("*" if "*" in segment else segment for segment in bare.split("/"))
        check_path_pattern(bare)
    except ValueError as error:
        return f"{host}: no rule can be written for a request: {error}"
    place: Place = (str(record.get("scheme")), str(host), int(record["port"]))
    found = seen[(place, str(method))].setdefault(bare, _Seen())
    hint = record.get("hint") or {}
    # A query that could not be read in one way has no place in the hint, and none in a rule.
    found.queries.append(set(hint["query"]) if "query" in hint else None if query else set())
    body = hint.get("body", {})
    types = body.get("content_types", [])
    found.types.update(types)
    size = max(int(record.get("bytes_out") or 0), int(body.get("max_bytes", 0)))
    found.untyped = found.untyped or (size > 0 and not types)
    found.most_bytes = max(found.most_bytes, size)
    if record.get("code") == "address":
        return f"{host}: {record.get('reason')}; if it is meant, write its network under networks"
    return None


def _generalised(paths: Mapping[str, _Seen], least: int) -> dict[str, _Seen]:
    """The same by pattern: a segment that had `least` values, all others being equal, is `*`."""
    found = dict(paths)
    while least and (bucket := _widest(list(found), least)):
        pattern, members = bucket
        merged = _Seen()
        for member in members:
            one = found.pop(member)
            merged.queries += one.queries
            merged.types |= one.types
            merged.untyped = merged.untyped or one.untyped
            merged.most_bytes = max(merged.most_bytes, one.most_bytes)
        found[pattern] = merged
    return found


def _widest(paths: list[str], least: int) -> tuple[str, list[str]] | None:
    """The pattern that stands for most of the paths, and which, if it stands for enough."""
    buckets: dict[str, set[str]] = defaultdict(set)
    for path in sorted(paths):
        segments = path.split("/")
        for place in range(1, len(segments)):
            if segments[place]:
                buckets["/".join([*segments[:place], "*", *segments[place + 1 :]])].add(path)
    many = [(pattern, sorted(members)) for pattern, members in buckets.items() if len(members) >= least]
    return max(many, key=lambda bucket: len(bucket[1]), default=None)


def _wants(method: str, found: _Seen) -> str:
    """The constraints on query and body, as JSON that sorts and compares."""
    body = {} if method in _BODILESS and not found.most_bytes else _body(found)
    return canonical_json({**_query(found.queries), **body}).decode()


def _query(queries: list[set[str] | None]) -> dict[str, Any]:
    """The names that were there: required if always, optional if not, and no others. Values are not recorded."""
    sets = [names for names in queries if names is not None]
    if len(sets) < len(queries):
        return {}
    always = set.intersection(*sets) if sets else set()
    names = sorted(set().union(*sets))
    try:
        single_values(tuple((name, "") for name in names), frozenset(names))
    except ValueError:
        return {}
    fields: dict[str, Any] = {name: {} if name in always else {"presence": "optional"} for name in names}
    return {"query": fields, "query_exact": True} if fields else {"query_exact": True}


def _body(found: _Seen) -> dict[str, Any]:
    """At most the next power of two bytes; types only if every body had one."""
    body: dict[str, Any] = {"max_bytes": 1 << (found.most_bytes - 1).bit_length() if found.most_bytes else 0}
    return {"body": body if found.untyped or not found.types else {"content_types": sorted(found.types), **body}}


def _rules(entries: list[tuple[Place, str, str, str]], taken: set[str]) -> list[dict[str, Any]]:
    """Entries that differ in their methods only, then in their paths only, are one rule: its product is exact."""
    methods: dict[tuple[Place, str, str], list[str]] = defaultdict(list)
    for place, pattern, wants, method in entries:
        methods[place, wants, pattern].append(method)
    paths: dict[tuple[Place, tuple[str, ...], str], list[str]] = defaultdict(list)
    for (place, wants, pattern), names in methods.items():
        paths[place, tuple(sorted(names)), wants].append(pattern)
    return [
        _rule(place, names, sorted(patterns), wants, taken) for (place, names, wants), patterns in sorted(paths.items())
    ]


def _rule(place: Place, methods: tuple[str, ...], paths: list[str], wants: str, taken: set[str]) -> dict[str, Any]:
    scheme, host, port = place
    rule = {
        "name": _name(host, taken),
        "hosts": [host],
        "ports": [port],
        "schemes": [scheme],
        "methods": list(methods),
        "paths": paths,
    }
    return {**rule, **json.loads(wants)}


def _name(host: str, taken: set[str]) -> str:
    """The host in a rule's letters, with a number if that is another rule's name."""
    base = re.sub(r"[^a-z0-9]+", "-", host).strip("-")[:56] or "host"
    names = (base if number == 1 else f"{base}-{number}" for number in count(1))
    name = next(name for name in names if name not in taken)
    taken.add(name)
    return name
