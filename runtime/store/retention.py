"""What retention removes: ended executions, expired results, and sessions that nobody uses."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, func, select

from runtime.store import schema
from runtime.store.makers import execution_holder, result_holder, values_holder
from runtime.store.plain_text import original, plain
from runtime.store.statement import Statement
from runtime.store.transaction import Transaction

BATCH: Final = 20
"""Executions removed in one transaction: other writes wait for it."""
_PAGE = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """`ended`: how many ended executions are kept, `ended_ns` how long; `session_ns`: how long a session unused."""

    ended_ns: int = 7 * 86_400 * 1_000_000_000
    ended: int = 100_000
    session_ns: int = 7 * 86_400 * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Doomed:
    """Rows to remove, by keys as they are stored; those of `values` are (tenant, session)."""

    executions: Sequence[str] = ()
    results: Sequence[str] = ()
    sessions: Sequence[str] = ()
    values: Sequence[tuple[str, str]] = ()


_OF_EXECUTION: Final = tuple(
    Statement.of(text)
    for text in (
        "DELETE FROM decisions WHERE approval_id IN (SELECT id FROM approvals WHERE execution_id = :id)",
        "DELETE FROM deliveries WHERE approval_id IN (SELECT id FROM approvals WHERE execution_id = :id)",
        "DELETE FROM approvals WHERE execution_id = :id",
        "DELETE FROM calls WHERE execution_id = :id",
        "DELETE FROM traces WHERE execution_id = :id",
        "DELETE FROM logs WHERE execution_id = :id",
        "DELETE FROM files WHERE execution_id = :id",
        "DELETE FROM executions WHERE id = :id",
    )
)
_RESULT = Statement.of("DELETE FROM results WHERE handle = :handle")
_SESSION = Statement.of("DELETE FROM sessions WHERE id = :id")
_VALUES = Statement.of("DELETE FROM session_values WHERE tenant = :tenant AND session = :session")
_PROFILES = Statement.of("DELETE FROM profiles WHERE digest NOT IN (SELECT profile_digest FROM executions)")
_HELD = Statement.of("SELECT tenant, sum(bytes) FROM holdings GROUP BY tenant")
_FREED = Statement.of("DELETE FROM holdings WHERE holder = :holder RETURNING tenant, bytes")


def doomed(connection: Connection, retention: Retention, now_ns: int) -> Iterator[Doomed]:
    """What is to be removed now, in pieces."""
    results = schema.RESULTS.c
    for handles in _batches(connection.execute(select(results.handle).where(results.expires_ns < now_ns)).scalars()):
        yield Doomed(results=handles)
    for sessions in _batches(_unused_sessions(connection, now_ns - retention.session_ns)):
        yield Doomed(sessions=sessions)
    for values in _batches(_unused_values(connection, now_ns - retention.session_ns)):
        yield Doomed(values=values)
    for ids in _batches(_ended(connection, retention, now_ns)):
        yield Doomed(executions=ids)


def remove(transaction: Transaction, what: Doomed) -> int:
    """Remove them; the bytes that are free now."""
    run = transaction.connection.run
    holders: list[str] = []
    for execution_id in what.executions:
        for statement in _OF_EXECUTION:
            run(statement, (execution_id,))
        holders.append(execution_holder(execution_id))
    for handle in what.results:
        run(_RESULT, (handle,))
        holders.append(result_holder(handle))
    for session_id in what.sessions:
        run(_SESSION, (session_id,))
    for tenant, session in what.values:
        run(_VALUES, (tenant, session))
        holders.append(plain(values_holder(original(tenant), original(session))))
    return sum(_free(transaction, holder) for holder in holders)


def recount(transaction: Transaction) -> None:
    """The ledger as the holdings are: another gateway may have written, too."""
    rows = transaction.connection.run(_HELD, ())
    transaction.ledger.load((original(tenant), int(size)) for tenant, size in rows)


def remove_profiles(transaction: Transaction) -> None:
    """Those that no execution refers to any more."""
    transaction.connection.run(_PROFILES, ())


def _free(transaction: Transaction, holder: str) -> int:
    rows = transaction.connection.run(_FREED, (holder,))
    if not rows:
        return 0
    tenant, size = rows[0]
    transaction.count(original(tenant), -size)
    return int(size)


def _unused_sessions(connection: Connection, before_ns: int) -> list[str]:
    """Those without an execution that is under way, and that no session in use was forked from."""
    of, executions = schema.SESSIONS.c, schema.EXECUTIONS.c
    busy = select(executions.tenant, executions.session).where(executions.state != "ended", executions.session != "")
    in_use = {(tenant, session) for tenant, session in connection.execute(busy)}
    rows = connection.execute(select(of.id, of.tenant, of.name, of.parent, of.state, of.used_ns)).all()
    kept = {r.id for r in rows if (r.tenant, r.name) in in_use or (r.tenant, r.id) in in_use or r.used_ns >= before_ns}
    kept = _with_parents(kept, {row.id: row.parent for row in rows})
    return [row.id for row in rows if row.id not in kept]


def _unused_values(connection: Connection, before_ns: int) -> list[tuple[str, str]]:
    of, sessions = schema.VALUES.c, schema.SESSIONS.c
    used = func.max(of.updated_ns)
    rows = connection.execute(select(of.tenant, of.session).group_by(of.tenant, of.session).having(used < before_ns))
    kept = {(tenant, name) for tenant, name in connection.execute(select(sessions.tenant, sessions.name))}
    return [(tenant, session) for tenant, session in rows if (tenant, session) not in kept]


def _ended(connection: Connection, retention: Retention, now_ns: int) -> Iterator[str]:
    """Oldest first, but for those that a session, or an execution under way, is rebuilt from."""
    of = schema.EXECUTIONS.c
    newest = select(of.ended_ns).where(of.state == "ended").order_by(of.ended_ns.desc())
    beyond = connection.execute(newest.offset(retention.ended).limit(1)).scalar() or 0
    before = max(now_ns - retention.ended_ns, beyond + 1 if beyond else 0)
    in_session, parents = _needed(connection)
    after = (0, "")
    while True:
        wanted = select(of.id, of.tenant, of.session, of.ended_ns).where(of.state == "ended", of.ended_ns < before)
        wanted = wanted.where((of.ended_ns > after[0]) | ((of.ended_ns == after[0]) & (of.id > after[1])))
        rows = connection.execute(wanted.order_by(of.ended_ns, of.id).limit(_PAGE)).all()
        yield from (row.id for row in rows if (row.tenant, row.session) not in in_session and row.id not in parents)
        if len(rows) < _PAGE:
            return
        after = (rows[-1].ended_ns, rows[-1].id)


def _needed(connection: Connection) -> tuple[set[tuple[str, str]], set[str]]:
    """(tenant, session) by name and by id of sessions that can go on, and ids of executions that others go on from."""
    of, executions = schema.SESSIONS.c, schema.EXECUTIONS.c
    rows = connection.execute(select(of.id, of.tenant, of.name, of.parent, of.state)).all()
    kept = _with_parents({row.id for row in rows if row.state == "open"}, {row.id: row.parent for row in rows})
    sessions = {(row.tenant, label) for row in rows if row.id in kept for label in (row.id, row.name)}
    parents = select(executions.parent).where(executions.state != "ended", executions.parent != "")
    return sessions, set(connection.execute(parents).scalars())


def _with_parents(kept: set[str], parents: dict[str, str]) -> set[str]:
    found = set(kept)
    for session_id in kept:
        parent = parents.get(session_id, "")
        while parent and parent not in found:
            found.add(parent)
            parent = parents.get(parent, "")
    return found


def _batches[T](items: Iterable[T]) -> Iterator[list[T]]:
    batch: list[T] = []
    for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def counts(what: Doomed) -> dict[str, Any]:
    """For Pruned."""
    return {"executions": len(what.executions), "results": len(what.results), "sessions": len(what.sessions)}
