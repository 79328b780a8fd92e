"""Letting executions go on that ran when the last gateway died."""

import asyncio
import contextlib
import fcntl
import logging
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from runtime.execution.executor import Executor
from runtime.portal.upstreams import Upstreams
from runtime.store.errors import StoreError

log = logging.getLogger(__name__)

_UPSTREAMS_S = 15.0
_LOOK_S = 0.01
_AGAIN_S = 1.0


@contextlib.asynccontextmanager
async def recovery(executor: Executor, upstreams: Upstreams, state: Path) -> AsyncIterator[None]:
    """Inside, a task of its own does it, once this process alone may: another's executions run in the other."""
    task = asyncio.get_running_loop().create_task(_recover(executor, upstreams, state))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _recover(executor: Executor, upstreams: Upstreams, state: Path) -> None:
    with _sole(state) as alone:
        if not alone:
            executor.stand_aside()
            log.info("another gateway uses this state directory; what it left is recovered when it is gone")
            return
        deadline = time.monotonic() + _UPSTREAMS_S
        while any(each.phase == "starting" for each in upstreams.states.values()) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_LOOK_S)
        while True:
            try:
                if count := await executor.recover():
                    log.info("%d executions go on that were under way", count)
                break
            except StoreError as error:
                log.error("executions that were under way wait for the store: %s", error)
                await asyncio.sleep(_AGAIN_S)
        await asyncio.Event().wait()


async def _started(upstreams: Upstreams) -> None:
    """Wait, for a while, until every upstream is there or has failed: calls of one that starts are refused."""
    deadline = time.monotonic() + _UPSTREAMS_S
    while time.monotonic() < deadline:
        if all(each.phase != "starting" for each in upstreams.states.values()):
            return
        await asyncio.sleep(_LOOK_S)


@contextlib.contextmanager
def _sole(state: Path) -> Iterator[bool]:
    """Whether no other gateway lives on this directory; for as long as the context is open."""
    descriptor = os.open(state / "gateway.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)
