"""When cyclic garbage is looked for, and where: never, while programs run, in what has stayed for a while.

A full collection looks at everything Python holds: modules, catalogs, the records of thousands of executions. It
stopped a gateway for 140 ms, its deadlines with it. So what survives is set aside, which costs nothing, and looked
through only when there is nothing else to do.
"""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

_NEVER: Final = 1 << 30
_OFTEN: Final = (700, 7, _NEVER)
"""Of the young, middle and old generation: collected after so many objects, collections, and collections of those.

Little at a time: looking at the 50,000 objects of a thousand calls at once took 60 ms. Calls leave five objects each.
"""
_LOOK_S: Final = 1.0
_MOST_SURVIVORS: Final = 20
"""Collections of the middle generation whose survivors may be in the old one, some thousand objects each."""
_AT_MOST_EVERY_S: Final = 60.0
_AT_LEAST_EVERY_S: Final = 900.0
"""A full collection comes no sooner after the last one though nothing runs, and no later though something does."""


class Garbage:
    """The collector of this process. On the event loop. `idle`: whether nobody would notice a pause."""

    def __init__(self, idle: Callable[[], bool]) -> None:
        """From now on what has been made so far is there to stay."""
        gc.freeze()
        gc.set_threshold(*_OFTEN)
        gc.enable()
        self._idle = idle
        self._survivors = True
        self._last = time.monotonic()

    def collect_all(self) -> None:
        """Collect everything once, and look no more at what is left."""
        # What was set aside before may be garbage by now: a catalog that was replaced.
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        self._survivors = False
        self._last = time.monotonic()

    def look(self) -> None:
        """Set aside what has survived, and collect everything if it is time to."""
        if gc.get_count()[2] > _MOST_SURVIVORS:
            gc.freeze()
            self._survivors = True
        since = time.monotonic() - self._last
        if self._survivors and since > (_AT_MOST_EVERY_S if self._idle() else _AT_LEAST_EVERY_S):
            self.collect_all()

    @contextlib.asynccontextmanager
    async def looked_after(self) -> AsyncIterator[None]:
        """Look now and then inside the block."""
        task = asyncio.create_task(self._look_on())
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()
