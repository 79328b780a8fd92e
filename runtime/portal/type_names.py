"""Names for the shared types of one answer: each type once, two types never under one name."""

import json
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from runtime.portal.identifier import short_hash
from runtime.portal.type_model import Named

type Key = tuple[Any, ...]


@dataclass(kw_only=True, slots=True)
class TypeNames:
    """Hands out names and remembers what is still to be declared, in the order it was met."""

    _names: dict[Key, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)
    waiting: deque[tuple[str, Named]] = field(default_factory=deque)

    def name_of(self, named: Named) -> str:
        """The name of a shared type; the first time, it is put in line to be declared."""
        key = _key(named)
        if key not in self._names:
            self._names[key] = self.claim(named.name, named.reference)
            self.waiting.append((self._names[key], named))
        return self._names[key]

    def claim(self, wanted: str, key: str) -> str:
        """A name nobody has yet: the one wanted, else with a hash of `key`, else with a number."""
        name, number = wanted, 2
        while name in self._taken:
            name = f"{wanted}_{short_hash(key)}" if number == 2 else f"{wanted}{number}"  # noqa: PLR2004
            number += 1
        self._taken.add(name)
        return name

    def copy(self) -> "TypeNames":
        """As it is now, to go back to after a text that did not fit."""
        return TypeNames(_names=dict(self._names), _taken=set(self._taken), waiting=deque(self.waiting))


def _key(named: Named) -> Key:
    """Tools of one MCP server repeat their definitions each; those that say the same are one type."""
    root = named.shape.root
    if "paths" not in root:
        text = json.dumps(named.shape.schema, sort_keys=True, default=str)
        if '"$ref"' not in text:
            return (named.reference, text)
    return (named.reference, id(root))
