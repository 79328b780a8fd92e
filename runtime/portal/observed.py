"""Result types of tools that declare none, told from their answers: shapes only, never a value, bounded in size.

Names of members are part of a shape, and in a map they are data: an object whose names do not look like names a
program would write, or that has too many, counts as a map.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

MAX_DEPTH: Final = 6
MAX_MEMBERS: Final = 50
MAX_NODES: Final = 400
MAX_ITEMS: Final = 20
MAX_ANSWERS: Final = 1_000

_NAME = re.compile(r"(?!.*[0-9]{4})[A-Za-z_$@][A-Za-z0-9_$-]{0,47}")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Seen:
    """What values at one place looked like. `always` are the members that every object there had."""

    types: frozenset[str] = frozenset()
    members: Mapping[str, "_Seen"] = field(default_factory=dict)
    always: frozenset[str] = frozenset()
    is_map: bool = False
    items: "_Seen | None" = None

    def size(self) -> int:
        inner: tuple[_Seen, ...] = (*self.members.values(), *((self.items,) if self.items is not None else ()))
        return 1 + sum([each.size() for each in inner])

    def schema(self) -> dict[str, Any]:
        types = sorted(self.types)
        found: dict[str, Any] = {"type": types[0] if len(types) == 1 else types} if types else {}
        if self.items is not None:
            found["items"] = self.items.schema()
        if "object" in self.types and not self.is_map:
            found["properties"] = {name: each.schema() for name, each in self.members.items()}
            found["required"] = sorted(self.always)
        return found


class Observation:
    """The answers of one tool so far. A reader on another thread sees the state before or after an answer."""

    def __init__(self) -> None:
        self._seen: _Seen | None = None
        self.answers = 0

    def see(self, value: Any) -> None:
        """Take an answer into account. What would grow without end, or was seen often enough, changes nothing more."""
        if self.answers >= MAX_ANSWERS:
            return
        looked = _look(value, 0)
        merged = looked if self._seen is None else _merge(self._seen, looked)
        if merged.size() <= MAX_NODES:
            self._seen = merged
        elif self._seen is None:
            self._seen = _Seen(types=looked.types)
        self.answers += 1

    def schema(self) -> dict[str, Any] | None:
        """A JSON Schema of what was seen. None before the first answer."""
        return self._seen.schema() if self._seen is not None else None


def _look(value: Any, depth: int) -> _Seen:
    if isinstance(value, dict):
        return _look_at_object(value, depth)
    if isinstance(value, list):
        if depth >= MAX_DEPTH:
            return _Seen(types=frozenset({"array"}))
        items: _Seen | None = None
        for each in value[:MAX_ITEMS]:
            items = _look(each, depth + 1) if items is None else _merge(items, _look(each, depth + 1))
        return _Seen(types=frozenset({"array"}), items=items)
    return _Seen(types=frozenset({_kind(value)}))


def _look_at_object(value: dict[str, Any], depth: int) -> _Seen:
    types = frozenset({"object"})
    if depth >= MAX_DEPTH or len(value) > MAX_MEMBERS or not all(_NAME.fullmatch(str(name)) for name in value):
        return _Seen(types=types, is_map=True)
    members = {str(name): _look(each, depth + 1) for name, each in value.items()}
    return _Seen(types=types, members=members, always=frozenset(members))


def _merge(one: _Seen, other: _Seen) -> _Seen:
    types = one.types | other.types
    items = one.items if other.items is None else other.items if one.items is None else _merge(one.items, other.items)
    if "object" not in one.types or "object" not in other.types:
        objects = one if "object" in one.types else other
        return replace(objects, types=types, items=items)
    members = dict(one.members)
    for name, each in other.members.items():
        members[name] = _merge(members[name], each) if name in members else each
    if one.is_map or other.is_map or len(members) > MAX_MEMBERS:
        return _Seen(types=types, is_map=True, items=items)
    return _Seen(types=types, members=members, always=one.always & other.always, items=items)


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    return {str: "string", int: "integer", float: "number"}.get(type(value), "string")
