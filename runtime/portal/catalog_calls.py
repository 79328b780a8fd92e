"""The catalog as data for programs: `codemode.tools()`, `codemode.search()` and `codemode.describe()`.

They reach the host as calls of the tools `lockgate.tools`, `.search` and `.describe`, a name no upstream can have.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

from runtime.execution.hostcall import CallContext, HostCallError
from runtime.portal.catalog import Catalog
from runtime.portal.declarations import LEAST_BUDGET
from runtime.portal.finder import Finder
from runtime.portal.offers import Offer
from runtime.portal.search import MAX_LIMIT, MAX_QUERY, BadCursorError
from runtime.portal.signature import Language, signature
from runtime.portal.tool import Tool
from runtime.portal.tool_terms import ToolTerms
from sandboxes.profile import Profile

PREFIX: Final = "lockgate."
# Of what a program asks at once: declarations cost the gateway more than the program that wants them.
MAX_NAMES: Final = 10
MAX_BUDGET: Final = 10_000
_DEFAULT_LIMIT: Final = 10
_MAX_NAME: Final = 200
_LISTINGS: Final = 4
_DETAILS: Final = ("names", "signatures", "full")
_KNOWN: Final = {
    "tools": frozenset({"language"}),
    "search": frozenset({"query", "limit", "cursor", "language", "detail"}),
    "describe": frozenset({"names", "language", "budget"}),
}


class CatalogCalls:
    """Answers about the catalog as it is now. `profiles`: those in force, by name."""

    def __init__(self, finder: Finder, profiles: Callable[[], Mapping[str, Profile]] | None = None) -> None:
        self._finder = finder
        self._profiles = profiles or dict
        self._listed: deque[tuple[Catalog, ToolTerms, list[dict[str, Any]]]] = deque(maxlen=_LISTINGS)
        self._listing_now = asyncio.Lock()

    async def call(
        self, name: str, arguments: Mapping[str, Any], context: CallContext, offer: Offer | None = None
    ) -> Any:
        """The answer as JSON; `offer`: the calling client's own functions. Raises HostCallError.

        For a program that may only read there are no other tools.
        """
        reads = context.read_only
        method = name.removeprefix(PREFIX)
        if method not in _KNOWN:
            raise _wrong(name, f"is not there; there are {', '.join(sorted(_KNOWN))}", "not_found")
        if unknown := sorted(set(arguments) - _KNOWN[method]):
            raise _wrong(name, f"{unknown[0][:40]}: is no option; there are {', '.join(sorted(_KNOWN[method]))}")
        if method == "tools":
            return await self._lines(self._catalog(offer, reads=reads), self._terms(context))
        if method == "search":
            return await self._search(arguments, self._terms(context), offer, reads=reads)
        return await self._describe(arguments, self._catalog(offer, reads=reads))

    def _terms(self, context: CallContext) -> ToolTerms:
        if not context.catalog_profile:
            return ToolTerms.of_program(context)
        profile = self._profiles().get(context.catalog_profile)
        if profile is None:
            raise _wrong("lockgate.tools", f"there is no profile {context.catalog_profile[:80]} any more", "not_found")
        return ToolTerms.of_profile(profile, context.environment)

    async def _lines(self, catalog: Catalog, terms: ToolTerms) -> list[dict[str, Any]]:
        """Every tool, made once for each of the last catalogs and terms, beside the event loop: there may be many."""
        async with self._listing_now:
            for held in self._listed:
                if held[0] is catalog and held[1] == terms:
                    return held[2]
            lines = await asyncio.to_thread(self._listing, catalog, terms)
            self._listed.append((catalog, terms, lines))
            return lines

    def _listing(self, catalog: Catalog, terms: ToolTerms) -> list[dict[str, Any]]:
        return [self._line(tool, terms) for tool in catalog.tools.values()]

    def _line(self, tool: Tool, terms: ToolTerms) -> dict[str, Any]:
        return {
            "name": tool.full_name,
            "upstream": tool.upstream,
            "purpose": tool.summary,
            "read_only": tool.read_only,
            "deprecated": tool.deprecated,
            "approval": terms.approval(tool, self._finder.upstreams),
        }

    def _catalog(self, offer: Offer | None, *, reads: bool) -> Catalog:
        catalog = self._finder.upstreams.catalog
        catalog = catalog if offer is None else offer.beside(catalog)
        return catalog.reads if reads else catalog

    async def _search(self, arguments: Mapping[str, Any], terms: ToolTerms, offer: Offer | None, *, reads: bool) -> Any:
        query = _text(arguments, "search", "query", "")
        if len(query) > MAX_QUERY:
            raise _wrong("lockgate.search", f"query: has {len(query)} characters; at most {MAX_QUERY}")
        limit = _number(arguments, "search", "limit", _DEFAULT_LIMIT, (1, MAX_LIMIT))
        language = _language(arguments, "search")
        try:
            cursor = _text(arguments, "search", "cursor", "") or None
            page = await self._finder.search(query, limit, cursor, offer, reads=reads)
        except BadCursorError as error:
            raise _wrong("lockgate.search", f"cursor: {error}") from None
        detail = _detail(arguments)
        answer = {"total": page.total, "unmatched": list(page.unmatched), "cursor": page.cursor}
        names = [tool.full_name for tool in page.tools]
        if detail == "names":
            return {"tools": names, **answer}
        lines = [{**self._line(tool, terms), "signature": signature(tool, language)} for tool in page.tools]
        if detail == "full" and names:
            found = await self._finder.describe(names[:MAX_NAMES], language, catalog=self._catalog(offer, reads=reads))
            left_out = [*found.left_out, *names[MAX_NAMES:]]
            return {"tools": lines, **answer, "declarations": found.text, "left_out": left_out}
        return {"tools": lines, **answer}

    async def _describe(self, arguments: Mapping[str, Any], catalog: Catalog) -> str:
        given = arguments.get("names")
        names = [given] if isinstance(given, str) else given
        if not isinstance(names, list) or not all(isinstance(each, str) and len(each) <= _MAX_NAME for each in names):
            raise _wrong("lockgate.describe", f"names: expected one name or an array of them, {_MAX_NAME} letters each")
        if not 1 <= len(names) <= MAX_NAMES:
            raise _wrong("lockgate.describe", f"names: has {len(names)} names; 1 to {MAX_NAMES}")
        budget = _number(arguments, "describe", "budget", 0, (LEAST_BUDGET, MAX_BUDGET))
        language = _language(arguments, "describe")
        found = await self._finder.describe(names, language, budget, catalog=catalog)
        if found.unknown and not found.text:
            near = catalog.nearest(found.unknown[0])
            hint = f"; the nearest are {', '.join(near)}" if near else ""
            raise _wrong("lockgate.describe", f'there is no tool or type "{found.unknown[0]}"{hint}', "not_found")
        return found.text


def _text(arguments: Mapping[str, Any], method: str, key: str, default: str) -> str:
    value = arguments.get(key)
    if value is None:
        return default
    if not isinstance(value, str):
        raise _wrong(PREFIX + method, f"{key}: expected a string")
    return value


def _number(arguments: Mapping[str, Any], method: str, key: str, default: int, bounds: tuple[int, int]) -> int:
    value = arguments.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not bounds[0] <= value <= bounds[1]:
        raise _wrong(PREFIX + method, f"{key}: expected a whole number, {bounds[0]} to {bounds[1]}")
    return value


def _detail(arguments: Mapping[str, Any]) -> str:
    detail = _text(arguments, "search", "detail", "signatures")
    if detail not in _DETAILS:
        raise _wrong("lockgate.search", f"detail: expected {' or '.join(_DETAILS)}")
    return detail


def _language(arguments: Mapping[str, Any], method: str) -> Language:
    value = _text(arguments, method, "language", "javascript")
    if value not in {"javascript", "typescript", "python"}:
        raise _wrong(PREFIX + method, 'language: expected "javascript" or "python"')
    return "python" if value == "python" else "javascript"


def _wrong(name: str, message: str, code: Any = "invalid_argument") -> HostCallError:
    said = f"codemode.{name.removeprefix(PREFIX)[:40]}: {message}"
    return HostCallError(code, said, tool=name[:_MAX_NAME])
