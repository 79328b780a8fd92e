"""Which version of a tool's declaration one is: a digest that is another whenever anything of it is."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from runtime.portal.schema import ReferenceProblem, Shape, lookup
from runtime.portal.tool import Tool

_REMEMBERED: Final = 2_000


@lru_cache(maxsize=_REMEMBERED)
def tool_digest(tool: Tool) -> str:
    """`sha256:` and 64 hex digits over what a caller reads of a tool, what it takes and how it is called."""
    effect = tool.effect
    told = {
        "name": tool.full_name,
        "original": tool.original,
        "description": tool.description,
        "input": _whole(tool.input),
        "output": _whole(tool.output) if tool.output is not None else None,
        "renamed": tool.renamed,
        "effect": [effect.read_only, effect.destructive, effect.idempotent, effect.open_world],
        "binding": repr(tool.binding),
    }
    # What a document holds need not be JSON nor Unicode: YAML has dates, servers send halves of surrogate pairs.
    return "sha256:" + hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def _whole(shape: Shape) -> dict[str, Any]:
    """The schema and everything its references lead to, by reference."""
    found: dict[str, Any] = {}
    waiting = [*_references(shape.schema)]
    while waiting:
        reference = waiting.pop()
        if reference in found:
            continue
        try:
            found[reference] = lookup(shape.root, reference)
        except ReferenceProblem:
            found[reference] = None
        waiting += _references(found[reference])
    return {"schema": shape.schema, "references": found}


def _references(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            if isinstance(reference := each.get("$ref"), str):
                yield reference
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
