"""What is different between two versions of an upstream's tools, for the log."""

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from runtime.portal.schema import Json, ReferenceProblem, lookup
from runtime.portal.tool import Tool

_NAMED: Final = 8
_MAX_REFERENCES: Final = 5_000
_REFERENCE = re.compile(r'"\$ref": "(#[^"]*)"')


@dataclass(frozen=True, kw_only=True, slots=True)
class CatalogChange:
    """Names of tools, without their upstream."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        parts = (("added", self.added), ("removed", self.removed), ("changed", self.changed))
        return "; ".join(f"{len(names)} {word} ({_some(names)})" for word, names in parts if names)


def change_between(before: Iterable[Tool], after: Iterable[Tool]) -> CatalogChange:
    """Tools that came, went, or say something else than before, types they refer to included."""
    old, new = _fingerprints(before), _fingerprints(after)
    return CatalogChange(
        added=tuple(name for name in new if name not in old),
        removed=tuple(name for name in old if name not in new),
        changed=tuple(name for name in new if name in old and old[name] != new[name]),
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _fingerprints(tools: Iterable[Tool]) -> dict[str, bytes]:
    texts: dict[tuple[int, str], tuple[str, tuple[str, ...]]] = {}
    return {tool.name: _fingerprint(tool, texts) for tool in tools}


def _fingerprint(tool: Tool, texts: dict[tuple[int, str], tuple[str, tuple[str, ...]]]) -> bytes:
    digest = hashlib.sha256(
        _text([tool.original, tool.description, tool.read_only, tool.deprecated, repr(tool.binding)])
    )
    for shape in (tool.input, tool.output):
        if shape is None:
            digest.update(b"-")
            continue
        own = _text(shape.schema)
        digest.update(own)
        waiting = _REFERENCE.findall(own.decode())
        seen: set[str] = set()
        while waiting and len(seen) < _MAX_REFERENCES:
            reference = waiting.pop()
            if reference in seen:
                continue
            seen.add(reference)
            key = (id(shape.root), reference)
            if key not in texts:
                text = _target(shape.root, reference)
                texts[key] = (text, tuple(_REFERENCE.findall(text)))
            waiting += texts[key][1]
        for reference in sorted(seen):
            digest.update(texts[id(shape.root), reference][0].encode())
    return digest.digest()


def _target(root: Json, reference: str) -> str:
    try:
        return _text(lookup(root, reference)).decode()
    except ReferenceProblem:
        return ""


def _text(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()
