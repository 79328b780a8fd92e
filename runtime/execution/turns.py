"""Whose turn it is to start: executions wait in a fair queue until there is room, and a worker, for them."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from runtime.execution.bounds import Bounds, QueueFullError
from runtime.execution.caller import Caller
from runtime.execution.execution import Execution
from runtime.execution.fair_queue import FairQueue
from runtime.worker.link import Link

_YOUNG_S: Final = 0.05
_LOOK_AGAIN_S: Final = 0.01
_CALM: Final = 4
# So that a tenant whose programs wait for long leaves places for others.
_MOST_SHARE: Final = 0.75


class Turns:
    """On the event loop. `find_worker` says where an execution can run now, if anywhere; `start` starts it there.

    `start` says `began` of what it has started, and `left` is said of that once it runs no more.
    """

    def __init__(
        self,
        bounds: Bounds,
        find_worker: Callable[[Execution], Link | None],
        start: Callable[[Execution, Link], None],
    ) -> None:
        self._bounds = bounds
        self._find_worker = find_worker
        self._start = start
        self._most_of_one = max(1, int(bounds.running * _MOST_SHARE))
        self._queue = FairQueue()
        self._running = 0
        self._by_tenant: Counter[str] = Counter()
        self._young: dict[str, float] = {}
        self._looking = self._resting = self._stopped = False

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._running and not self._queue

    def check(self, caller: Caller) -> None:
        """Raises QueueFullError if no more may wait, in all or of this tenant."""
        bounds = self._bounds
        if len(self._queue) >= bounds.queued:
            raise QueueFullError(f"{self._running} executions run and {len(self._queue)} wait, which is the most")
        if self._queue.waiting(caller.tenant) >= bounds.queued_per_tenant:
            raise QueueFullError(f"{bounds.queued_per_tenant} executions of {caller.owner} wait already")

    def wait(self, execution: Execution) -> None:
        """Let it start when it is its turn, which may be at once."""
        self._queue.push(execution)
        self.start_next()

    def leave(self, execution: Execution) -> None:
        """It waits no more. Raises ValueError if it did not."""
        self._queue.remove(execution)

    def began(self, execution: Execution) -> None:
        """It runs."""
        self._running += 1
        self._young[execution.id] = execution.started
        self._by_tenant[execution.program.caller.tenant] += 1

    def left(self, execution: Execution) -> None:
        """It runs no more. Others may have room now: `start_next`."""
        self._running -= 1
        self._young.pop(execution.id, None)
        tenant = execution.program.caller.tenant
        self._by_tenant[tenant] -= 1
        if not self._by_tenant[tenant]:
            del self._by_tenant[tenant]

    def stop(self) -> None:
        """Let nothing start any more."""
        self._stopped = True

    def start_next(self) -> None:
        """Start all that can start now."""
        while self._queue and not self._stopped:
            has_room = not self._resting and self._has_room()
            found = self._queue.pop(self._place if has_room else self._place_newcomer)
            if found is None:
                return
            self._start(*found)
            if has_room and self._running > _CALM:
                self._rest()

    def _rest(self) -> None:
        """Start the next two turns of the event loop later.

        gRPC hands over one request a turn. If more than one execution could end in each, requests would pile up where
        they are served in the order they came, and a tenant's thousand would delay another's first.
        """
        self._resting = True
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self.start_next()

    def _has_room(self) -> bool:
        now = time.monotonic()
        while self._young:
            oldest = next(iter(self._young))
            if now - self._young[oldest] < _YOUNG_S:
                break
            del self._young[oldest]
        if self._running >= self._bounds.running:
            return False
        if len(self._young) < self._bounds.young:
            return True
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._look_again)
        return False

    def _look_again(self) -> None:
        self._looking = False
        self.start_next()

    def _place(self, execution: Execution) -> Link | None:
        if self._by_tenant[execution.program.caller.tenant] >= self._most_of_one:
            return None
        return self._find_worker(execution)

    def _place_newcomer(self, execution: Execution) -> Link | None:
        """A tenant of whom nothing runs need not wait until others' executions are old enough."""
        bounds = self._bounds
        if self._by_tenant[execution.program.caller.tenant]:
            return None
        if len(self._young) >= bounds.young + bounds.newcomers or self._running >= bounds.running:
            return None
        return self._place(execution)
