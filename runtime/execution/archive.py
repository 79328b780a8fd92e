"""Where executions are found: those this gateway knows, and behind them the store."""

import asyncio
import logging

from runtime.execution.execution import Execution
from runtime.execution.late_records import LateRecords
from runtime.execution.outcome_record import due_ns_of
from runtime.execution.registry import Registry
from runtime.execution.restored import restored
from runtime.store.errors import StoreUnavailableError
from runtime.store.store import Store

log = logging.getLogger(__name__)


class Archive:
    """Executions by id and by idempotency key. On the event loop.

    What ran when another gateway died is nobody's until it is known who takes it up: `settle` tells.
    """

    def __init__(self, registry: Registry, store: Store | None) -> None:
        self.registry = registry
        self.store = store
        self.late = LateRecords()
        self._settled = asyncio.Event()
        self._alone = True

    def settle(self, *, alone: bool) -> None:
        """What was under way in the store is in the registry now; or, if not `alone`, it is another gateway's."""
        self._alone = alone
        self._settled.set()

    async def find(self, execution_id: str) -> Execution | None:
        """An execution that this gateway knows, or the store has, to be looked at. Raises StoreUnavailableError."""
        if (known := self.registry.of(execution_id)) is not None or self.store is None:
            return known
        await self.late.settled(execution_id)
        row = await self.store.execution(execution_id)
        try:
            return None if row is None else await restored(self.store, row)
        except ValueError as error:
            log.error("%s cannot be had from the store: %s", execution_id, error)
            return None

    async def by_key(self, principal: str, key: str) -> Execution | None:
        """The execution an idempotency key stands for, here or in the store. Raises StoreUnavailableError."""
        if (known := self.registry.by_key(principal, key)) is not None or self.store is None:
            return known
        row = await self.store.execution_by_key(principal, key)
        found = None if row is None else await self.take(row.id)
        return self.registry.by_key(principal, key) or found

    async def take(self, execution_id: str) -> Execution | None:
        """As `find`; one that has not ended is this gateway's from now on. Raises StoreUnavailableError."""
        found = await self.find(execution_id)
        if found is None or found.state == "ended" or self.registry.of(execution_id) is found:
            return found
        if found.state == "queued":
            # It ran in a gateway that is no more, or in another one.
            await self._settled.wait()
            if (known := self.registry.of(execution_id)) is None and not self._alone:
                raise StoreUnavailableError(f"{execution_id} runs in another gateway of this store; ask that one")
            return known or await self.find(execution_id)
        return self._adopted(found)

    async def left_behind(self) -> list[Execution]:
        """Those that ran when the last gateway died, in the registry from now on. Raises StoreUnavailableError."""
        left, after = list[Execution](), ""
        while self.store is not None and (heads := await self.store.unfinished(after)):
            for head in heads:
                if head.state != "running" or self.registry.of(head.id) is not None:
                    continue
                found = await self.find(head.id)
                if found is not None and found.state == "queued" and self._adopted(found) is found:
                    left.append(found)
            after = heads[-1].id
        return left

    async def waking(self) -> dict[str, int]:
        """When paused executions wake by themselves, Unix nanoseconds by id. Raises StoreUnavailableError."""
        due, after = dict[str, int](), ""
        while self.store is not None and (rows := await self.store.waking(after)):
            due |= {row.id: due_ns_of(row.outcome) for row in rows}
            after = rows[-1].id
        return due

    def _adopted(self, found: Execution) -> Execution:
        """One from the store, unless somebody was faster."""
        if (known := self.registry.of(found.id)) is not None:
            return known
        self.registry.add(found)
        return found
