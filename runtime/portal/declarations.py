"""Declarations for chosen tools within a budget; what did not fit is named and can be asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from runtime.portal.catalog import Catalog
from runtime.portal.declarations_python import PythonWriter
from runtime.portal.declarations_typescript import TypeScriptWriter
from runtime.portal.schema import Shape
from runtime.portal.signature import Language
from runtime.portal.tool import Tool
from runtime.portal.type_model import Named
from runtime.portal.type_reader import type_name

# About 1,500 tokens at four characters each.
DEFAULT_BUDGET: Final = 6_000
MAX_BUDGET: Final = 200_000
MAX_NAMES: Final = 50
_PROSE: Final = (400, 120, 0)
_LISTED: Final = 24


@dataclass(frozen=True, kw_only=True, slots=True)
class Declarations:
    """`left_out` may be asked for by these very names; `unknown` are names that mean nothing."""

    text: str
    left_out: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def declare(
    catalog: Catalog, names: Sequence[str], language: Language = "javascript", budget: int = DEFAULT_BUDGET
) -> Declarations:
    """Tools (`github.issuesGet`) and types (`github.Issue`) by name, `budget` in characters.

    The first tool or type is always there, without its prose if need be.
    """
    budget = max(200, min(budget, MAX_BUDGET))
    tools, types, unknown = _asked(catalog, names[:MAX_NAMES])
    writer = PythonWriter() if language == "python" else TypeScriptWriter()
    shown, text = _tools_within(writer, language, tools, budget)
    parts = [text] if text else []
    left_out = [tool.full_name for tool in tools[len(shown) :]]
    for upstream, named in types:
        writer.names.name_of(named)
        parts += _types_within(writer, budget - sum(map(len, parts)), left_out, upstream, first=not parts)
    upstream = shown[0].upstream if shown else ""
    parts += _types_within(writer, budget - sum(map(len, parts)), left_out, upstream, first=False)
    mark = "#" if language == "python" else "//"
    if left_out:
        more = f" and {len(left_out) - _LISTED} more" if len(left_out) > _LISTED else ""
        parts.append(f"{mark} Left out for length; describe by name: {', '.join(left_out[:_LISTED])}{more}")
    return Declarations(text="\n\n".join(parts), left_out=tuple(left_out), unknown=unknown)


def _tools_within(
    writer: PythonWriter | TypeScriptWriter, language: Language, tools: list[Tool], budget: int
) -> tuple[list[Tool], str]:
    """As many tools as fit, with as much prose as fits."""
    shown = list(tools)
    while shown:
        for prose_limit in _PROSE:
            text = (PythonWriter() if language == "python" else TypeScriptWriter()).tools(shown, prose_limit)
            if len(text) <= budget or (len(shown) == 1 and prose_limit == 0):
                return shown, writer.tools(shown, prose_limit)
        shown = shown[: min(len(shown) - 1, max(1, len(shown) * budget // max(1, len(text))))]
    return [], ""


def _types_within(
    writer: PythonWriter | TypeScriptWriter, room: int, left_out: list[str], upstream: str, *, first: bool
) -> list[str]:
    parts: list[str] = []
    while writer.names.waiting:
        name, named = writer.names.waiting.popleft()
        before = writer.names
        for prose_limit in _PROSE[1:]:
            # What a text mentions that is not shown is not worth a mention itself.
            writer.names = before.copy()
            text = writer.type(name, named, prose_limit)
            if len(text) <= room:
                break
        if len(text) > room and (parts or not first):
            writer.names = before
            left_out.append(f"{upstream}.{named.name}" if upstream else named.name)
            continue
        room -= len(text) + 2
        parts.append(text)
    return parts


def _asked(catalog: Catalog, names: Sequence[str]) -> tuple[list[Tool], list[tuple[str, Named]], tuple[str, ...]]:
    tools: list[Tool] = []
    types: list[tuple[str, Named]] = []
    unknown: list[str] = []
    for asked in dict.fromkeys(names):
        name = asked.strip().removeprefix("codemode.").split("(", 1)[0]
        if (tool := catalog.find(name) or catalog.find_original(name)) is not None:
            tools += [] if tool in tools else [tool]
        elif (named := _type_called(catalog, name)) is not None:
            types.append((name.partition(".")[0], named))
        else:
            unknown.append(asked)
    return tools, types, tuple(unknown)


def _type_called(catalog: Catalog, name: str) -> Named | None:
    """A shared type of an upstream's documents by the name declarations give it."""
    upstream, _, wanted = name.partition(".")
    seen: set[int] = set()
    for tool in catalog.by_upstream.get(upstream, ()):
        for shape in (tool.input, tool.output):
            if shape is None or id(shape.root) in seen:
                continue
            seen.add(id(shape.root))
            for reference, schema in _definitions(shape.root):
                if type_name(reference) == wanted:
                    return Named(wanted, reference, Shape(schema=schema, root=shape.root))
    return None


def _definitions(root: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for path in (("components", "schemas"), ("$defs",), ("definitions",)):
        group: Any = root
        for part in path:
            group = group.get(part) if isinstance(group, Mapping) else None
        for key, schema in group.items() if isinstance(group, Mapping) else ():
            escaped = str(key).replace("~", "~0").replace("/", "~1")
            yield f"#/{'/'.join(path)}/{escaped}", schema
