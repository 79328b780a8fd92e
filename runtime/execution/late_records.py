"""Ends that are told before the store has them: of executions that have only read."""

import asyncio
import logging
from typing import Final

from runtime.execution.execution import Execution
from runtime.execution.journal import LAG_S, Journal
from runtime.store.errors import StoreUnavailableError

log = logging.getLogger(__name__)

_PATIENCE_S: Final = 5.0


def may_be_told_first(execution: Execution) -> bool:
    """Whether its end may lag, as its reads do: gone on with after a crash, it would read again and change nothing.

    Nobody may ask for it by a key, or build on it in a session; and what was paused or recovered has a history.
    """
    program = execution.program
    someone_counts_on_it = program.idempotency_key or program.kept_session or execution.attempts > 1
    return not someone_counts_on_it and not execution.side_effects_possible()


class LateRecords:
    """Ended executions on their way to the store. They keep their share of the byte budget until they are there."""

    def __init__(self) -> None:
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def add(self, execution: Execution, journal: Journal) -> None:
        """Record an end soon, and with it whatever else is not recorded yet."""
        task = asyncio.get_running_loop().create_task(self._record(execution, journal))
        self._under_way[execution.id] = task
        task.add_done_callback(lambda _: self._under_way.pop(execution.id))

    async def _record(self, execution: Execution, journal: Journal) -> None:
        await asyncio.sleep(LAG_S)
        try:
            await journal.write_surely()
        except Exception:
            log.exception("the end of %s cannot be kept", execution.id)
        finally:
            execution.hold.release()

    async def settled(self, execution_id: str) -> None:
        """Return once the store has all of an execution. Raises StoreUnavailableError if that takes too long."""
        if (task := self._under_way.get(execution_id)) is not None:
            await asyncio.wait([task], timeout=_PATIENCE_S)
            if not task.done():
                raise StoreUnavailableError(f"{execution_id} has ended, and the store does not take its record yet")

    async def close(self) -> None:
        """Wait for all of them, for a while: what the store does not take by then runs again."""
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=_PATIENCE_S)
