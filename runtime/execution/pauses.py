"""Executions that pause until somebody has decided, and go on then."""

import asyncio
import logging
import time
from collections.abc import Coroutine
from typing import Protocol

from runtime.execution.archive import Archive
from runtime.execution.execution import Execution
from runtime.execution.pause import Pause
from runtime.store.errors import StoreError

log = logging.getLogger(__name__)


class Runs(Protocol):
    """What pauses ask of the executor."""

    def go_on(self, execution: Execution) -> None:
        """Queue one that is paused."""

    def pause_failed(self, execution: Execution, reason: str) -> None:
        """End it: the store does not take its pause."""

    def cancel(self, execution: Execution, reason: str) -> None:
        """End it."""


class Pauses:
    """On the event loop. What is paused is rows in the store, and known here no more unless somebody follows it."""

    def __init__(self, archive: Archive, runs: Runs) -> None:
        self._archive = archive
        self._runs = runs
        self._under_way: dict[str, Pause] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def begin(self, execution: Execution) -> None:
        """Nothing of it is held but rows in the store, and what clients that follow it have."""
        pause = self._under_way[execution.id] = Pause(execution)
        self._spawn(self._record(pause))

    async def _record(self, pause: Pause) -> None:
        execution = pause.execution
        try:
            await pause.record()
        except StoreError as error:
            log.error("%s cannot be paused: %s", execution.id, error)
            self._runs.pause_failed(execution, str(error))
            return
        finally:
            del self._under_way[execution.id]
        if pause.cancelled:
            self._runs.cancel(execution, pause.cancelled)
            return
        if pause.decided:
            self._runs.go_on(execution)
            return
        self.let_go(execution)
        self.wake(execution.id, pause.due_ns)

    def of(self, execution_id: str) -> Pause | None:
        """The pause of one that is being paused just now."""
        return self._under_way.get(execution_id)

    def let_go(self, execution: Execution) -> None:
        """Forget a paused execution that nobody follows: the store has it."""
        if execution.state == "paused" and not execution.watchers:
            self._archive.registry.forget(execution)

    def decided(self, execution_id: str) -> None:
        """Somebody decided about a call of one that does not run: it goes on."""
        if (pause := self.of(execution_id)) is not None:
            pause.decided = True
        else:
            self._spawn(self._resume(execution_id))

    def wake(self, execution_id: str, due_ns: int) -> None:
        """Let a paused one go on at that time, Unix nanoseconds; 0 for only when somebody has decided."""
        if due_ns:
            wait_s = max(0.0, (due_ns - time.time_ns()) / 1e9)
            asyncio.get_running_loop().call_later(wait_s, self._due, execution_id)

    def _due(self, execution_id: str) -> None:
        if not self._stopped:
            self._spawn(self._resume(execution_id))

    async def _resume(self, execution_id: str) -> None:
        """Nothing happens to one that runs, or has ended."""
        try:
            execution = await self._archive.take(execution_id)
        except StoreError as error:
            log.error("%s does not go on: %s", execution_id, error)
            return
        if execution is not None and execution.state == "paused":
            self._runs.go_on(execution)

    def stop(self) -> None:
        """Wake nothing any more."""
        self._stopped = True

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
