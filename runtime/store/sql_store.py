"""The store over an SQL database: writes by its writer, reads by a few threads with connections of their own."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from runtime.store import schema
from runtime.store.changes import Change
from runtime.store.connection import READERS, Database
from runtime.store.errors import StoreError, StoreUnavailableError
from runtime.store.ledger import Ledger, Quotas
from runtime.store.migrate import migrate
from runtime.store.plain_text import original, plain
from runtime.store.records import (
    ApprovalRow,
    ApprovalState,
    CallRow,
    DecisionRow,
    DeliveryRow,
    ExecutionHead,
    ExecutionRow,
    ExecutionState,
    FileRow,
    LogRow,
    ProfileRow,
    ResultRow,
    SessionRow,
    TraceRow,
    ValueRow,
    WakingRow,
)
from runtime.store.retention import Retention, counts, doomed, recount, remove, remove_profiles
from runtime.store.rows import weight
from runtime.store.store import PAGE, Pruned, StoreState, StoreUsage
from runtime.store.writer import SLOW_S, Writer

_FLAGS = frozenset({"read_only", "ok"})


class SqlStore:
    """See Store, which says what each method does."""

    def __init__(
        self,
        database: Database,
        quotas: Quotas | None = None,
        retention: Retention | None = None,
        *,
        slow_s: float = SLOW_S,
    ) -> None:
        self._database = database
        self._ledger = Ledger(quotas or Quotas())
        self._retention = retention or Retention()
        self._slow_s = slow_s
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="store-read")
        self._writer: Writer | None = None

    # Life and writes.

    @property
    def state(self) -> StoreState:  # noqa: D102 - told by Store, as all that follow
        problem = "the store is not open" if self._writer is None else self._writer.problem
        return StoreState(ok=not problem, reason=problem)

    async def open(self) -> None:  # noqa: D102
        try:
            await self._off_loop(self._prepare)
        except BaseException:
            await self.close()
            raise
        self._writer = Writer(self._database, self._ledger, slow_s=self._slow_s)
        self._writer.start()

    async def claim(self) -> bool:  # noqa: D102
        return await self._off_loop(self._database.claim)

    async def close(self) -> None:  # noqa: D102
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.stop()
        await asyncio.to_thread(self._threads.shutdown)
        self._database.close()

    async def write(self, *changes: Change) -> None:  # noqa: D102
        await self._writing().write(changes, sum(weight(change) for change in changes))

    def write_soon(self, *changes: Change) -> None:  # noqa: D102
        self._writing().write_soon(changes, sum(weight(change) for change in changes))

    async def flush(self) -> None:  # noqa: D102
        await self._writing().write((), 0)

    def _writing(self) -> Writer:
        if self._writer is None:
            raise StoreUnavailableError("the store is not open")
        return self._writer

    def _prepare(self) -> None:
        self._database.connect().close()
        with self._database.exclusive() as connection:
            migrate(connection)
            holdings = schema.HOLDINGS.c
            sums = connection.execute(select(holdings.tenant, _sum(holdings.bytes)).group_by(holdings.tenant))
            self._ledger.load((original(tenant), int(size)) for tenant, size in sums)

    # Reads.

    async def execution(self, execution_id: str) -> ExecutionRow | None:  # noqa: D102
        return await self._one(ExecutionRow, schema.EXECUTIONS, schema.EXECUTIONS.c.id == plain(execution_id))

    async def execution_by_key(self, principal: str, key: str) -> ExecutionRow | None:  # noqa: D102
        of = schema.EXECUTIONS.c
        wanted = (of.principal == plain(principal), of.idempotency_key == plain(key), of.idempotency_key != "")
        return await self._one(ExecutionRow, schema.EXECUTIONS, *wanted)

    async def unfinished(self, after: str = "", limit: int = PAGE) -> list[ExecutionHead]:  # noqa: D102
        of = schema.EXECUTIONS.c
        wanted = (of.state != "ended", of.id > plain(after))
        return await self._all(ExecutionHead, schema.EXECUTIONS, *wanted, order=of.id, limit=limit)

    async def waking(self, after: str = "", limit: int = PAGE) -> list[WakingRow]:  # noqa: D102
        of = schema.EXECUTIONS.c
        # The databases take the partial index only if told its condition.
        wanted = (of.state != "ended", of.state == "paused", of.outcome != "", of.id > plain(after))
        return await self._all(WakingRow, schema.EXECUTIONS, *wanted, order=of.id, limit=limit)

    async def executions(  # noqa: D102, PLR0913 - filters
        self,
        *,
        principal: str | None = None,
        tenant: str | None = None,
        state: ExecutionState | None = None,
        session: str | None = None,
        before: str = "",
        limit: int = PAGE,
    ) -> list[ExecutionHead]:
        of = schema.EXECUTIONS.c
        wanted = _equal({of.principal: principal, of.tenant: tenant, of.state: state, of.session: session})
        if before:
            wanted.append(of.id < plain(before))
        if session:
            wanted.append(of.session != "")  # SQLite takes the partial index only if told so
        return await self._all(ExecutionHead, schema.EXECUTIONS, *wanted, order=of.id.desc(), limit=limit)

    async def calls(self, execution_id: str) -> list[CallRow]:  # noqa: D102
        return await self._parts(CallRow, schema.CALLS, execution_id)

    async def trace(self, execution_id: str) -> list[TraceRow]:  # noqa: D102
        return await self._parts(TraceRow, schema.TRACES, execution_id)

    async def logs(self, execution_id: str) -> list[LogRow]:  # noqa: D102
        return await self._parts(LogRow, schema.LOGS, execution_id)

    async def files(self, execution_id: str) -> list[FileRow]:  # noqa: D102
        return await self._parts(FileRow, schema.FILES, execution_id)

    async def profile(self, digest: str) -> ProfileRow | None:  # noqa: D102
        return await self._one(ProfileRow, schema.PROFILES, schema.PROFILES.c.digest == plain(digest))

    async def image_digests_in_use(self) -> frozenset[str]:  # noqa: D102
        wanted = select(schema.EXECUTIONS.c.image_digest).distinct()
        return frozenset(await self._off_loop(self._read, lambda c: [original(d) for (d,) in c.execute(wanted)]))

    async def approval(self, approval_id: str) -> ApprovalRow | None:  # noqa: D102
        return await self._one(ApprovalRow, schema.APPROVALS, schema.APPROVALS.c.id == plain(approval_id))

    async def approvals(  # noqa: D102, PLR0913 - filters
        self,
        *,
        tenant: str | None = None,
        execution_id: str | None = None,
        state: ApprovalState | None = None,
        expires_before_ns: int = 0,
        after: str = "",
        limit: int = PAGE,
    ) -> list[ApprovalRow]:
        of = schema.APPROVALS.c
        wanted = _equal({of.tenant: tenant, of.execution_id: execution_id, of.state: state})
        wanted.append(of.id > plain(after))
        if expires_before_ns:
            wanted.append(of.expires_ns < expires_before_ns)
        return await self._all(ApprovalRow, schema.APPROVALS, *wanted, order=of.id, limit=limit)

    async def decisions(self, approval_id: str) -> list[DecisionRow]:  # noqa: D102
        of = schema.DECISIONS.c
        return await self._all(DecisionRow, schema.DECISIONS, of.approval_id == plain(approval_id), order=of.number)

    async def deliveries(self, due_ns: int, limit: int = PAGE) -> list[DeliveryRow]:  # noqa: D102
        of = schema.DELIVERIES.c
        wanted = (of.state == "waiting", of.next_ns <= due_ns)
        return await self._all(DeliveryRow, schema.DELIVERIES, *wanted, order=of.next_ns, limit=limit)

    async def session(self, tenant: str, name: str) -> SessionRow | None:  # noqa: D102
        of = schema.SESSIONS.c
        wanted = (of.tenant == plain(tenant), of.name == plain(name), of.state == "open")
        return await self._one(SessionRow, schema.SESSIONS, *wanted)

    async def session_by_id(self, session_id: str) -> SessionRow | None:  # noqa: D102
        return await self._one(SessionRow, schema.SESSIONS, schema.SESSIONS.c.id == plain(session_id))

    async def sessions(  # noqa: D102
        self, tenant: str | None = None, after: str = "", limit: int = PAGE
    ) -> list[SessionRow]:
        of = schema.SESSIONS.c
        wanted = [*_equal({of.tenant: tenant}), of.id > plain(after)]
        return await self._all(SessionRow, schema.SESSIONS, *wanted, order=of.id, limit=limit)

    async def result(self, handle: str) -> ResultRow | None:  # noqa: D102
        return await self._one(ResultRow, schema.RESULTS, schema.RESULTS.c.handle == plain(handle))

    async def result_handles(self, limit: int) -> list[str]:  # noqa: D102
        of = schema.RESULTS.c
        wanted = select(of.handle).order_by(of.expires_ns.desc(), of.handle).limit(limit)
        return await self._off_loop(self._read, lambda c: [original(handle) for (handle,) in c.execute(wanted)])

    async def value_sessions(self, limit: int) -> list[tuple[str, str]]:  # noqa: D102
        of = schema.VALUES.c
        last = func.max(of.updated_ns).desc()
        wanted = select(of.tenant, of.session).group_by(of.tenant, of.session).order_by(last).limit(limit)
        return await self._off_loop(self._read, lambda c: [(original(t), original(s)) for t, s in c.execute(wanted)])

    async def values(self, tenant: str, session: str) -> list[ValueRow]:  # noqa: D102
        of = schema.VALUES.c
        wanted = (of.tenant == plain(tenant), of.session == plain(session))
        return await self._all(ValueRow, schema.VALUES, *wanted, order=(of.since_ns, of.key))

    async def usage(self, tenant: str | None = None) -> StoreUsage:  # noqa: D102
        quotas = self._ledger.quotas
        return StoreUsage(bytes=self._ledger.of(tenant), quota=quotas.bytes if tenant is None else quotas.tenant_bytes)

    async def prune(self, now_ns: int) -> Pruned:  # noqa: D102
        writer = self._writing()
        pieces = await self._off_loop(self._read, lambda c: list(doomed(c, self._retention, now_ns)))
        total: Counter[str] = Counter()
        for piece in pieces:
            total["bytes"] += await writer.run(partial(remove, what=piece))
            total.update(counts(piece))
        if total["executions"]:
            await writer.run(remove_profiles)
        if pieces:
            await writer.run(lambda transaction: self._database.tidy(transaction.connection))
        await writer.run(recount)
        return Pruned(**total)

    # How reads are made.

    async def _parts[R](self, record: type[R], table: Table, execution_id: str) -> list[R]:
        """Rows that belong to an execution, in the order of the rest of their key."""
        _, order = table.primary_key.columns
        return await self._all(record, table, table.c.execution_id == plain(execution_id), order=order)

    async def _one[R](self, record: type[R], table: Table, *wanted: ColumnElement[bool]) -> R | None:
        rows = await self._off_loop(self._read, lambda c: _records(c, record, _select(record, table).where(*wanted)))
        return rows[0] if rows else None

    async def _all[R](
        self,
        record: type[R],
        table: Table,
        *wanted: ColumnElement[bool],
        order: ColumnElement[Any] | tuple[ColumnElement[Any], ...],
        limit: int | None = None,
    ) -> list[R]:
        orders = order if isinstance(order, tuple) else (order,)
        statement = _select(record, table).where(*wanted).order_by(*orders).limit(limit)
        return await self._off_loop(self._read, lambda connection: _records(connection, record, statement))

    def _read[T](self, work: Callable[[Connection], T]) -> T:
        with self._database.engine.connect() as connection:
            return work(connection)

    async def _off_loop[**P, T](self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """On a thread, with the driver's errors translated. Raises StoreUnavailableError, StoreError."""
        assert not named
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)
        except StoreError:
            raise
        except PoolTimeoutError:
            raise StoreUnavailableError("the store is slow: all connections for reads are busy") from None
        except Exception as error:
            cause = error.orig if isinstance(error, DBAPIError) and isinstance(error.orig, Exception) else error
            raise StoreUnavailableError(self._database.fault(cause, committing=False).reason) from error


def _sum(column: ColumnElement[int]) -> ColumnElement[int]:
    return func.coalesce(func.sum(column), 0)


def _equal(filters: Mapping[ColumnElement[Any], str | None]) -> list[ColumnElement[bool]]:
    return [column == plain(value) for column, value in filters.items() if value is not None]


def _columns(record: Any) -> tuple[str, ...]:
    return tuple(f.name for f in fields(record))


def _select(record: Any, table: Table) -> Select[Any]:
    return select(*(table.c[name] for name in _columns(record)))


def _records[R](connection: Connection, record: type[R], statement: Select[Any]) -> list[R]:
    names = _columns(record)
    return [record(**dict(zip(names, map(_value, names, row), strict=True))) for row in connection.execute(statement)]


def _value(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return original(value)
    return bool(value) if name in _FLAGS else value
