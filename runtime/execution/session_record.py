"""What the store knows of sessions that keep globals: which are open, what ran in them, whether one is over."""

import json
import time
from typing import Final

from runtime.execution.kept_session import KeptSession, SessionLostError
from runtime.store.records import ExecutionState, SessionRow
from runtime.store.store import Store
from sandboxes.session_rules import SessionRules

_UNFINISHED: Final[tuple[ExecutionState, ...]] = ("running", "paused")


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
    if row.parent and row.forked_at and (parent := await store.session_by_id(row.parent)) is not None:
        earlier = await history_of(store, parent)
        if row.forked_at not in earlier:
            raise SessionLostError("the session it was forked from is gone")
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
    return earlier + [execution_id for _, execution_id in sorted(own)]
