"""Letting executions go on that ran when the last gateway died."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from runtime.execution.executor import Executor
from runtime.portal.upstreams import Upstreams
from runtime.service.beside import beside
from runtime.store.errors import StoreError
from runtime.store.store import Store

log = logging.getLogger(__name__)

_UPSTREAMS_S = 30.0
_LOOK_S = 0.01
_AGAIN_S = 1.0


@contextlib.asynccontextmanager
async def recovery(executor: Executor, upstreams: Upstreams, store: Store) -> AsyncIterator[None]:
    """Inside, a task of its own does it, once this process alone may: another's executions run in the other."""
    async with beside(_recover(executor, upstreams, store)):
        yield


async def _recover(executor: Executor, upstreams: Upstreams, store: Store) -> None:
    if not await _patiently(store.claim):
        executor.archive.settle(alone=False)
        log.info("another gateway has this store; what it leaves is recovered when it is gone")
        return
    await _settled(upstreams)
    if count := await _patiently(executor.recover):
        log.info("%d executions go on that were under way", count)


async def _settled(upstreams: Upstreams) -> None:
    """Wait, for a while, until each upstream is there, or is known to need an operator.

    Of one that is not, nobody knows which of its tools only read, and so which calls can be made again.
    """
    deadline = time.monotonic() + _UPSTREAMS_S
    while time.monotonic() < deadline:
        if all(each.phase in {"ready", "broken"} for each in upstreams.states.values()):
            return
        await asyncio.sleep(_LOOK_S)


async def _patiently[T](ask: Callable[[], Awaitable[T]]) -> T:
    """What the store answers, however long it fails before."""
    while True:
        try:
            return await ask()
        except StoreError as error:
            log.error("executions that were under way wait for the store: %s", error)
            await asyncio.sleep(_AGAIN_S)
