"""Making a session's isolate again: its programs run once more, from their records, in a worker."""

import logging
from typing import Final, Protocol

from runtime.execution.execution import Execution, Program
from runtime.execution.kept_session import KeptSession, SessionLostError
from runtime.store.errors import StoreError
from runtime.worker.link import Link
from sandboxes.profile import Isolation

log = logging.getLogger(__name__)

_TRIES: Final = 6
"""Workers that may die while a session is made again."""


class Replays(Protocol):
    """Recorded programs that run again, to make a session's isolate once more."""

    async def worker_for(self, program: Program) -> Link:
        """A worker it may run in. Raises TimeoutError."""

    def leave_worker(self, link: Link, isolation: Isolation) -> None:
        """A worker is not needed any more."""

    async def run_again(self, execution_id: str, link: Link, session: int, position: int) -> int:
        """Run a recorded program in a session's isolate: how many programs that has run now.

        Raises SessionLostError if it does otherwise than recorded; RuntimeError or TimeoutError if the worker fails.
        """

    async def recorded(self, execution_id: str) -> Execution | None:
        """An execution as its record tells it, None for an unknown one."""


async def make_again(session: KeptSession, program: Program, replays: Replays) -> None:
    """Run the programs of its history in an isolate of a worker that `program` may run in.

    Raises SessionLostError, StoreError; TimeoutError if no worker is free in time.
    """
    if session.link is not None:
        session.link.end_session(session.number)
        session.link = None
    for _ in range(_TRIES):
        link = await replays.worker_for(program)
        try:
            for position, execution_id in enumerate(session.history, 1):
                if await replays.run_again(execution_id, link, session.number, position) != position:
                    raise SessionLostError(f"run again, its program {position} left nothing that could be kept")
        except (RuntimeError, TimeoutError) as error:
            link.end_session(session.number)
            replays.leave_worker(link, program.profile.isolation)
            if isinstance(error, SessionLostError | StoreError):
                raise
            log.warning("a session is made again in another worker: %s", error)
        else:
            session.link, session.at = link, len(session.history)
            return
    raise SessionLostError(f"{_TRIES} workers died while it was made again")
