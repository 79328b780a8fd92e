"""Search and declarations over the catalog as it is now; the index follows the catalog."""

import asyncio

from runtime.portal.declarations import DEFAULT_BUDGET, Declarations, declare
from runtime.portal.search import SearchIndex, SearchPage
from runtime.portal.signature import Language
from runtime.portal.upstreams import Upstreams


class Finder:
    """Answers from the newest catalog. Building an index is done beside the event loop."""

    def __init__(self, upstreams: Upstreams) -> None:
        self.upstreams = upstreams
        self._index: SearchIndex | None = None
        self._building = asyncio.Lock()

    async def search(self, query: str, limit: int, cursor: str | None) -> SearchPage:
        """The best tools for a query. Raises BadCursorError."""
        index = await self._current()
        return index.search(query, limit, cursor)

    async def _current(self) -> SearchIndex:
        async with self._building:
            catalog = self.upstreams.catalog
            if self._index is None or self._index.catalog is not catalog:
                earlier, self._index = self._index, await asyncio.to_thread(SearchIndex, catalog)
                if earlier is not None:
                    earlier.close()
            return self._index

    def describe(self, names: list[str], language: Language, budget: int = DEFAULT_BUDGET) -> Declarations:
        """Declarations of tools and types by name."""
        return declare(self.upstreams.catalog, names, language, budget)

    def nearest(self, name: str) -> list[str]:
        """The names most like one that does not exist."""
        return self.upstreams.catalog.nearest(name)
