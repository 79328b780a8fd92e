"""When cyclic garbage is looked for, and where: never in what stays.

A full collection looks at everything Python holds, modules and catalogs included, and stopped a gateway for 140 ms,
its deadlines with it. So what is there to stay is set aside, and collections look only at what came after.
"""

import asyncio
import gc
from typing import Final

_OFTEN: Final = (700, 7, 100)
"""Of the young, middle and old generation: collected after so many objects, collections, and collections of those.

Little at a time: looking at the 50,000 objects of a thousand calls at once took 60 ms. Calls leave five objects each.
"""

_AFTER_S: Final = 1.0
_AT_MOST_EVERY_S: Final = 60.0


class Garbage:
    """The collector of this process. On the event loop."""

    def __init__(self) -> None:
        gc.set_threshold(*_OFTEN)
        self._timer: asyncio.TimerHandle | None = None
        self._last = 0.0

    def set_aside(self) -> None:
        """Collect everything once, and look no more at what is left."""
        # What was set aside before may be garbage by now: a catalog that was replaced.
        gc.unfreeze()
        gc.collect()
        gc.freeze()

    def more_stays(self, _: object = None) -> None:
        """Something large was loaded: set it aside soon, but not again and again."""
        if self._timer is not None:
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_at(max(loop.time() + _AFTER_S, self._last + _AT_MOST_EVERY_S), self._again)

    def _again(self) -> None:
        self._timer = None
        self.set_aside()
        self._last = asyncio.get_running_loop().time()
