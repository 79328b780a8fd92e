"""Declarations for chosen tools within a budget; what did not fit is named and can be asked for."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from runtime.portal.catalog import Catalog
from runtime.portal.declarations_python import PythonWriter
from runtime.portal.declarations_typescript import TypeScriptWriter
from runtime.portal.schema import Shape
from runtime.portal.signature import Language
from runtime.portal.token_count import DEFAULT_TOKENS, estimated_tokens
from runtime.portal.tool import Tool
from runtime.portal.type_model import Named
from runtime.portal.type_reader import type_name

LEAST_BUDGET: Final = 50
MAX_BUDGET: Final = 50_000
MAX_NAMES: Final = 50
# From full to bare: characters of prose, and how deep objects without a name of their own are written out.
_PROSE: Final = (400, 120, 0)
_WHOLE: Final = 8
_CUT: Final = ((0, 3), (0, 2), (0, 1), (0, 0))
_CUT_NOTE: Final = "Inner objects are cut for length; codemode.describe(name, {budget: 5000}) has them."
# Of a budget: the list of what was left out, if anything was.
_RESERVED: Final = 0.1
_LISTED: Final = 24
# No tool is declared in fewer tokens, so a catalog with more tools need not be tried.
_LEAST_TOOL: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Declarations:
    """`left_out` may be asked for by these very names; `unknown` are names that mean nothing."""

    text: str
    left_out: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


def declare(
    catalog: Catalog, names: Sequence[str], language: Language = "javascript", budget: int = DEFAULT_TOKENS
) -> Declarations:
    """Tools (`github.issuesGet`) and types (`github.Issue`) by name, `budget` in estimated tokens.

    The first tool or type is always there, without its prose if need be.
    """
    tools, types, unknown = _asked(catalog, names[:MAX_NAMES])
    found = _declared(tools, types, language, max(LEAST_BUDGET, min(budget, MAX_BUDGET)))
    return replace(found, unknown=unknown)


def declare_all(catalog: Catalog, language: Language = "javascript", budget: int = DEFAULT_TOKENS) -> Declarations:
    """Every tool of the catalog with its types, as far as `budget` estimated tokens go."""
    tools = list(catalog.tools.values())
    budget = min(budget, MAX_BUDGET)
    most = budget // _LEAST_TOOL
    found = _declared(tools[:most], [], language, budget)
    return replace(found, left_out=(*found.left_out, *(tool.full_name for tool in tools[most:])))


def _declared(tools: list[Tool], types: list[tuple[str, Named]], language: Language, budget: int) -> Declarations:
    whole = _within(tools, types, language, budget)
    return whole if not whole.left_out else _within(tools, types, language, int(budget * (1 - _RESERVED)))


def _within(tools: list[Tool], types: list[tuple[str, Named]], language: Language, budget: int) -> Declarations:
    writer = _writer(language)
    shown, text = _tools_within(writer, language, tools, budget)
    parts = [text] if text else []
    left_out = [tool.full_name for tool in tools[len(shown) :]]
    for upstream, named in types:
        writer.names.name_of(named)
        parts += _types_within(writer, budget - sum(map(_size, parts)), left_out, upstream, first=not parts)
    upstream = shown[0].upstream if shown else ""
    parts += _types_within(writer, budget - sum(map(_size, parts)), left_out, upstream, first=False)
    if left_out and parts:
        parts.append(_missing(left_out, "#" if language == "python" else "//", budget))
    return Declarations(text="\n\n".join(parts), left_out=tuple(left_out))


def _missing(left_out: list[str], mark: str, budget: int) -> str:
    """One line that names what was left out, as many as the reserve has room for."""
    listed = left_out[:_LISTED]
    while len(listed) > 1 and estimated_tokens(", ".join(listed)) > budget * _RESERVED:
        listed.pop()
    more = f" and {len(left_out) - len(listed)} more" if len(left_out) > len(listed) else ""
    return f"{mark} Left out for length; describe by name: {', '.join(listed)}{more}"


def _size(part: str) -> int:
    return estimated_tokens(part) + 1


def _tools_within(
    writer: PythonWriter | TypeScriptWriter, language: Language, tools: list[Tool], budget: int
) -> tuple[list[Tool], str]:
    """As many tools as fit, with as much prose as fits; a single one that does not fit loses its inner objects."""
    shown = list(tools)
    while shown:
        for prose_limit in _PROSE:
            size = estimated_tokens(_writer(language).tools(shown, prose_limit))
            if size <= budget:
                return shown, writer.tools(shown, prose_limit)
        if len(shown) == 1:
            return shown, _cut(writer, language, shown, budget)
        shown = shown[: min(len(shown) - 1, max(1, len(shown) * budget // max(1, size)))]
    return [], ""


def _cut(writer: PythonWriter | TypeScriptWriter, language: Language, shown: list[Tool], budget: int) -> str:
    mark = "#" if language == "python" else "//"
    note = f"\n{mark} {_CUT_NOTE}"
    for prose_limit, nesting in _CUT:
        if estimated_tokens(_writer(language, nesting).tools(shown, prose_limit) + note) <= budget:
            break
    writer.nesting = nesting
    text = writer.tools(shown, prose_limit)
    writer.nesting = _WHOLE
    return text + note


def _writer(language: Language, nesting: int = _WHOLE) -> PythonWriter | TypeScriptWriter:
    return PythonWriter(nesting) if language == "python" else TypeScriptWriter(nesting)


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
            size = _size(text)
            if size <= room:
                break
        if size > room and (parts or not first):
            writer.names = before
            left_out.append(f"{upstream}.{named.name}" if upstream else named.name)
            continue
        room -= size
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
