"""Search and declarations over the catalog as it is now; the index follows the catalog."""

import asyncio
from typing import Final

from runtime.portal.catalog import Catalog
from runtime.portal.declarations import Declarations, declare, declare_all
from runtime.portal.offers import Offer
from runtime.portal.search import SearchIndex, SearchPage
from runtime.portal.signature import Language
from runtime.portal.upstreams import Upstreams
from sandboxes.portal import Portal

STARTING_S: Final = 3.0


class Finder:
    """Answers from the newest catalog. Building an index is done beside the event loop."""

    def __init__(self, upstreams: Upstreams, portal: Portal | None = None) -> None:
        self.upstreams = upstreams
        self._portal = portal or Portal()
        self._overviews: dict[tuple[Language, bool], tuple[Catalog, Declarations]] = {}
        self._index: SearchIndex | None = None
        self._building = asyncio.Lock()
        self._describing = asyncio.Lock()

    async def search(
        self, query: str, limit: int, cursor: str | None, offer: Offer | None = None, *, reads: bool = False
    ) -> SearchPage:
        """The best tools for a query; the calling client's own functions come first. Raises BadCursorError.

        `reads`: only tools that are known to only read.
        """
        index = await self._current()
        if offer is None or cursor is not None:
            return index.search(query, limit, cursor, reads=reads)
        own = offer.search(query, reads=reads)
        tools = own.tools[: max(1, limit - 1)]
        page = index.search(query, max(1, limit - len(tools)), reads=reads)
        return SearchPage(
            tools=(*tools, *page.tools)[:limit],
            total=len(tools) + page.total,
            unmatched=tuple(word for word in page.unmatched if word in own.unmatched),
            cursor=page.cursor if len(tools) < limit else f"{index.catalog.generation}.0",
        )

    async def _current(self) -> SearchIndex:
        async with self._building:
            catalog = self.upstreams.catalog
            if self._index is None or self._index.catalog is not catalog:
                earlier, self._index = self._index, await asyncio.to_thread(SearchIndex, catalog)
                if earlier is not None:
                    earlier.close()
            return self._index

    async def describe(
        self, names: list[str], language: Language, budget: int = 0, catalog: Catalog | None = None
    ) -> Declarations:
        """Declarations of tools and types by name: beside the event loop, one after another.

        `budget` is in tokens, 0 for as many as the configuration's `portal` says.
        Fifty names of a large document take up to a second of processor time.
        """
        async with self._describing:
            tokens = budget or self._portal.describe_tokens
            return await asyncio.to_thread(declare, catalog or self.upstreams.catalog, names, language, tokens)

    async def overview(self, language: Language, *, reads: bool = False) -> Declarations:
        """All declarations, as the configuration's `portal` says; empty where the catalog is to be searched."""
        if self._portal.inline == "never":
            return Declarations(text="")
        # A client asks once, when it connects: what is still starting then would be missing for good.
        await self.upstreams.settled(STARTING_S)
        catalog = self.upstreams.catalog.reads if reads else self.upstreams.catalog
        held = self._overviews.get((language, reads))
        if held is None or held[0] is not catalog:
            found = await asyncio.to_thread(declare_all, catalog, language, self._portal.inline_tokens)
            held = self._overviews[language, reads] = (catalog, found)
        found = held[1]
        return found if self._portal.inline == "always" or not found.left_out else Declarations(text="")

    def nearest(self, name: str) -> list[str]:
        """The names most like one that does not exist."""
        return self.upstreams.catalog.nearest(name)
