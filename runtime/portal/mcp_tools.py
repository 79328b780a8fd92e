"""From what an MCP server lists to tools of the catalog. The server is not trusted: every member may lie."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any, Final

from runtime.portal.identifier import RESERVED_ARGUMENTS, distinct_identifiers
from runtime.portal.schema import Shape, properties_of, required_of
from runtime.portal.tool import SkippedTool, Tool, one_line
from sandboxes.call_facts import Effect

if TYPE_CHECKING:
    import mcp_types

MAX_TOOLS: Final = 5_000
MAX_SCHEMA_CHARACTERS: Final = 256 << 10
MAX_SCHEMA_DEPTH: Final = 100
MAX_DESCRIPTION: Final = 8 << 10

_PAIR: Final = frozenset({"search", "execute"})
_COMPOSED = frozenset({"allOf", "anyOf", "oneOf", "$ref", "if", "additionalProperties", "patternProperties",
                       "unevaluatedProperties", "dependentSchemas"})  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class McpBinding:
    """The server's own name of the tool, and the method that calls it."""

    name: str
    method: str = "tools/call"


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolChoice:
    """What the operator takes of a server, by the server's own names, and what it is called here."""

    allow: tuple[str, ...] = ("*",)
    deny: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)

    def refusal(self, name: str) -> str:
        """Why a tool is left out; empty if it is not."""
        if any(fnmatchcase(name, pattern) for pattern in self.deny):
            return "the upstream's deny names it"
        if not any(fnmatchcase(name, pattern) for pattern in self.allow):
            return "the upstream's allow does not name it"
        if name not in self.aliases and name in self.aliases.values():
            return "its name is the alias of another tool"
        return ""


def build_tools(
    upstream: str, listed: Sequence[mcp_types.Tool], choice: ToolChoice | None = None
) -> tuple[tuple[Tool, ...], tuple[SkippedTool, ...]]:
    """The tools of a listing, and what of it cannot be one."""
    choice = choice or ToolChoice()
    skipped: list[SkippedTool] = []
    usable: list[mcp_types.Tool] = []
    counts = Counter(each.name for each in listed)
    for each in listed:
        reason = choice.refusal(each.name) or _unusable(each, counts)
        if len(usable) >= MAX_TOOLS:
            reason = f"the server has {len(listed)} tools; at most {MAX_TOOLS} are read"
        if reason:
            skipped.append(SkippedTool(upstream=upstream, original=each.name[:200], reason=reason))
        else:
            usable.append(each)
    names = distinct_identifiers([(choice.aliases.get(each.name, each.name), each.name) for each in usable])
    tools = tuple(_tool(upstream, name, each) for name, each in zip(names, usable, strict=True))
    return tools, tuple(skipped)


def is_code_mode_portal(listed: Sequence[mcp_types.Tool]) -> bool:
    """Whether a server is itself a pair of tools with others behind: one that searches, one that runs `code`."""
    if len(listed) != len(_PAIR) or {each.name for each in listed} != _PAIR:
        return False
    return any(each.name == "execute" and "code" in properties_of(each.input_schema) for each in listed)


def _unusable(listed: mcp_types.Tool, counts: Counter[str]) -> str:
    if not listed.name.strip():
        return "it has no name"
    if counts[listed.name] > 1:
        return "the server lists two tools of this name"
    for schema in (listed.input_schema, listed.output_schema):
        if schema is None:
            continue
        if _deeper_than(schema, MAX_SCHEMA_DEPTH):
            return "its schema is nested too deeply"
        if len(json.dumps(schema)) > MAX_SCHEMA_CHARACTERS:
            return f"its schema has more than {MAX_SCHEMA_CHARACTERS} characters"
    return ""


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        members = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for group in members for each in group if isinstance(each, dict | list)]
        if not level:
            return False
    return True


def _tool(upstream: str, name: str, listed: mcp_types.Tool) -> Tool:
    description = (listed.description or "")[:MAX_DESCRIPTION]
    schema, renamed = _arguments(listed.input_schema)
    title = listed.title or (listed.annotations.title if listed.annotations else None) or ""
    output = listed.output_schema
    return Tool(
        upstream=upstream,
        name=name,
        original=listed.name,
        summary=one_line(description or title or listed.name),
        description=description,
        input=Shape(schema=schema, root=listed.input_schema),
        output=Shape(schema=output, root=output) if output is not None else None,
        read_only=listed.annotations is not None and listed.annotations.read_only_hint is True,
        keywords=(title,) if title else (),
        renamed=renamed,
        binding=McpBinding(name=listed.name),
        declared=_effect(listed.annotations),
    )


def _effect(hints: mcp_types.ToolAnnotations | None) -> Effect:
    """What the server says; where it says nothing the worse holds, as the protocol has it."""
    if hints is None:
        return Effect()
    return Effect(
        destructive=hints.destructive_hint is not False,
        idempotent=hints.idempotent_hint is True,
        open_world=hints.open_world_hint is not False,
    )


def _arguments(schema: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The input schema by names programs can write, and those that differ.

    A plain schema that does not say whether it takes other names is read as closed: a misspelt argument is
    then an error and not silently ignored by the server.
    """
    properties = properties_of(schema)
    names = distinct_identifiers([(name, name) for name in properties], joined="_", reserved=RESERVED_ARGUMENTS)
    by_wire = dict(zip(properties, names, strict=True))
    renamed = {name: wire for wire, name in by_wire.items() if name != wire}
    read = dict(schema)
    read["type"] = "object"
    if properties:
        read["properties"] = {by_wire[wire]: value for wire, value in properties.items()}
        read["required"] = [by_wire.get(name, name) for name in required_of(schema)]
    if not _COMPOSED & set(schema):
        read["additionalProperties"] = False
    return read, renamed
