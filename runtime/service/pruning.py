"""Retention: what the store no longer has to keep is removed now and then."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

from runtime.service.beside import beside
from runtime.store.errors import StoreError
from runtime.store.store import Store

log = logging.getLogger(__name__)

EVERY_S = 60.0


@contextlib.asynccontextmanager
async def pruning(store: Store, every_s: float = EVERY_S) -> AsyncIterator[None]:
    """Inside, a task of its own does it."""
    async with beside(_prune(store, every_s)):
        yield


async def _prune(store: Store, every_s: float) -> None:
    while True:
        await asyncio.sleep(every_s)
        try:
            pruned = await store.prune(time.time_ns())
        except StoreError as error:
            log.warning("what is old stays until the store works: %s", error)
            continue
        if pruned.executions or pruned.sessions:
            log.info("removed %d executions and %d sessions by age", pruned.executions, pruned.sessions)
