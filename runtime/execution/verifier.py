"""Runs recorded executions once more: to compare, or to make a session's isolate again."""

import asyncio
from collections.abc import Iterator

from runtime.execution.execution import Execution, Program
from runtime.execution.image_index import ImageIndex, ImageRetiredError
from runtime.execution.kept_session import SessionLostError
from runtime.execution.restored import restored
from runtime.execution.verification import Recorded, Verification, Verified
from runtime.store.store import Store
from runtime.worker.link import Link
from runtime.worker.pool import WorkerPool
from sandboxes.profile import Isolation

_FOR_A_WORKER_S = 20.0
_LOOK_S = 0.01


class Verifier:
    """Replays, one worker's isolate each. `numbers` are those of frames, shared with all that runs in the pool."""

    def __init__(self, pool: WorkerPool, images: ImageIndex, store: Store | None, numbers: Iterator[int]) -> None:
        self._pool = pool
        self._images = images
        self._store = store
        self._numbers = numbers

    async def verify(self, execution_id: str, *, until: int = 0, code: str | None = None) -> Verified | None:
        """Run an execution again from its record; None if there is none.

        Raises StoreUnavailableError; ImageRetiredError; ValueError for a record that is not whole; TimeoutError or
        RuntimeError when the worker does not do it.
        """
        recorded = await self._recorded(execution_id)
        if recorded is None:
            return None
        program = recorded.execution.program
        link = await self.worker_for(program)
        try:
            return await self._run(Verification(recorded, until=until, code=code), recorded, link)
        finally:
            self.leave_worker(link, program.profile.isolation)

    async def run_again(self, execution_id: str, link: Link, session: int, position: int) -> int:
        """Run a recorded program in a session's isolate: how many programs that has run now.

        Raises SessionLostError if it does otherwise than recorded; RuntimeError or TimeoutError if the worker fails.
        """
        try:
            recorded = await self._recorded(execution_id)
            if recorded is None:
                raise SessionLostError(f"the record of its program {position} is gone")
            verified = await self._run(Verification(recorded, seat=(session, position)), recorded, link)
        except (ValueError, ImageRetiredError) as error:
            raise SessionLostError(f"its program {position} cannot run again: {error}") from error
        if verified.differences or verified.stopped:
            raise SessionLostError(f"its program {position} did otherwise when it ran again")
        return verified.kept

    async def recorded(self, execution_id: str) -> Execution | None:
        """An execution as its record tells it, None for an unknown one; its image need not be here."""
        row = None if self._store is None else await self._store.execution(execution_id)
        return None if row is None or self._store is None else await restored(self._store, row)

    async def worker_for(self, program: Program) -> Link:
        """A worker it may run in. Raises TimeoutError."""
        async with asyncio.timeout(_FOR_A_WORKER_S):
            while True:
                if (link := self._pool.acquire(program.profile.isolation, program.caller.tenant)) is not None:
                    return link
                await asyncio.sleep(_LOOK_S)

    def leave_worker(self, link: Link, isolation: Isolation) -> None:
        """A worker is not needed any more."""
        self._pool.release(link, isolation)

    async def _run(self, verification: Verification, recorded: Recorded, link: Link) -> Verified:
        return await verification.run(link, next(self._numbers), self._images.place(recorded.execution))

    async def _recorded(self, execution_id: str) -> Recorded | None:
        row = None if self._store is None else await self._store.execution(execution_id)
        if row is None or self._store is None:
            return None
        execution = await restored(self._store, row)
        self._images.place(execution)
        assert execution.journal is not None
        calls = [execution.journal.calls[number] for number in sorted(execution.journal.calls)]
        if calls and execution.program.profile.retention.answers != "keep":
            raise ValueError("the answers of its calls were not kept: retention.answers of its profile is digest")
        return Recorded(execution=execution, calls=calls, trace=bytes(execution.journal.trace))
