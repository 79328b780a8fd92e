"""What lives in memory and is in the store moments later, to be read again by the next gateway."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from runtime.store.changes import Change
from runtime.store.errors import StoreError
from runtime.store.store import Store

log = logging.getLogger(__name__)


class Lagging:
    """Memory leads: what the store does not take is said in the log, and is lost with the process.

    `load` reads what an earlier gateway left, once, at the first use. Without a store there is neither.
    """

    def __init__(self, store: Store | None, load: Callable[[Store], Awaitable[None]]) -> None:
        self._store = store
        self._load = load
        self._loaded = False
        self._loading = asyncio.Lock()

    def tell(self, *changes: Change) -> None:
        """The store makes them within 50 ms, in this order."""
        if self._store is None or not changes:
            return
        try:
            self._store.write_soon(*changes)
        except StoreError as error:
            log.warning("kept in memory only: %s", error)

    async def ready(self) -> None:
        """What an earlier gateway left is in memory. Raises StoreUnavailableError; then the next use tries again."""
        if self._store is None or self._loaded:
            return
        async with self._loading:
            if not self._loaded:
                await self._load(self._store)
                self._loaded = True
