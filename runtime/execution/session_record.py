"""What the store knows of sessions that keep globals: which are open, what ran in them, which are over or lost."""

import json
import time
from collections.abc import Awaitable, Callable
from typing import Final

from runtime.execution.execution import Execution
from runtime.execution.kept_session import KeptSession, SessionLostError
from runtime.store.records import ExecutionState, SessionRow
from runtime.store.store import Store
from sandboxes.session_rules import SessionRules

_UNFINISHED: Final[tuple[ExecutionState, ...]] = ("running", "paused")

type Recorded = Callable[[str], Awaitable[Execution | None]]
"""An execution as its record tells it, None for an unknown one. Raises ValueError for a record that is not whole."""


async def restored_session(store: Store, row: SessionRow, number: int, recorded: Recorded) -> KeptSession:
    """An open session as it was; if its globals cannot be had, it says why in `lost`. Raises StoreError."""
    session = KeptSession(
        id=row.id,
        tenant=row.tenant,
        name=row.name,
        number=number,
        created_ns=row.created_ns,
        used_ns=row.used_ns,
        parent=row.parent,
    )
    try:
        session.running = await _paused_in(store, row, recorded)
        history = await history_of(store, row)
        last = await recorded(history[-1]) if history else None
    except (SessionLostError, ValueError) as error:
        session.lost = str(error)
        return session
    session.history = history
    if last is not None:
        profile = last.program.profile
        session.rules, session.isolation = profile.sessions, profile.isolation
        session.image, session.image_digest = last.program.image, last.image_digest
    return session


async def _paused_in(store: Store, row: SessionRow, recorded: Recorded) -> Execution | None:
    """The program whose turn it is still: later ones wait for it, as they did before a restart."""
    heads = await store.executions(tenant=row.tenant, session=row.id, state="paused", limit=1)
    execution = await recorded(heads[0].id) if heads else None
    # It may have ended while its record was read.
    still = execution and await store.executions(tenant=row.tenant, session=row.id, state="paused", limit=1)
    return execution if still else None


async def is_over(store: Store, session: KeptSession, rules: SessionRules) -> bool:
    """Whether it is to be closed. Raises StoreError.

    Not while the store has a program of it that is paused, or that has yet to go on after a restart.
    """
    if not session.is_over(rules, time.time_ns()):
        return False
    for state in _UNFINISHED:
        if await store.executions(tenant=session.tenant, session=session.id, state=state, limit=1):
            return False
    # Another program may have begun in it while the store was asked.
    return session.is_over(rules, time.time_ns())


async def open_rows(store: Store, tenant: str) -> list[SessionRow]:
    """A tenant's open sessions, oldest first. Raises StoreError."""
    rows, after = list[SessionRow](), ""
    while page := await store.sessions(tenant, after):
        rows += [row for row in page if row.state == "open"]
        after = page[-1].id
    return rows


async def history_of(store: Store, row: SessionRow) -> list[str]:
    """The ids of the executions whose globals a session has: those of what it was forked from first.

    Raises SessionLostError and StoreError.
    """
    earlier: list[str] = []
    if row.parent and row.forked_at:
        if (parent := await store.session_by_id(row.parent)) is None:
            raise SessionLostError("the session it was forked from is gone")
        earlier = await history_of(store, parent)
        if row.forked_at not in earlier:
            raise SessionLostError(f"the session it was forked from has no record of {row.forked_at}")
        earlier = earlier[: earlier.index(row.forked_at) + 1]
    own = list[tuple[int, str]]()
    before = ""
    while heads := await store.executions(tenant=row.tenant, session=row.id, state="ended", before=before):
        for head in heads:
            execution = await store.execution(head.id)
            position = 0 if execution is None else json.loads(execution.outcome or "{}").get("position", 0)
            if position:
                own.append((position, head.id))
        before = heads[-1].id
    for expected, (position, _) in enumerate(sorted(own), len(earlier) + 1):
        if position != expected:
            raise SessionLostError(f"the record of its program {expected} is gone")
    return earlier + [execution_id for _, execution_id in sorted(own)]
