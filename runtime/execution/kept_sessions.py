"""All sessions whose programs keep their globals: opened, run in order, made again, forked and closed."""

import asyncio
import contextlib
import dataclasses
import itertools
import logging
import time
from collections.abc import Coroutine
from typing import Final, Protocol

from runtime.execution.execution import Execution, Program
from runtime.execution.kept_session import (
    KeptSession,
    SessionLostError,
    SessionRefusedError,
    kept_name,
    new_session_id,
)
from runtime.execution.remaking import Replays, make_again
from runtime.execution.session_record import is_over, open_rows, restored_session
from runtime.execution.session_store import SessionStores
from runtime.store.changes import Change, PutSession, UpdateSession
from runtime.store.errors import StoreError
from runtime.store.records import SessionRow
from runtime.store.store import Store
from runtime.worker.link import Link
from sandboxes.session_rules import SessionRules

log = logging.getLogger(__name__)

_SWEEP_S: Final = 5.0
_CLOSED: Final = "its session was closed"


class Runs(Protocol):
    """What sessions ask of the executor."""

    def start_in_session(self, execution: Execution) -> None:
        """Queue it: its session is ready for it."""

    def session_lost(self, execution: Execution, reason: str) -> None:
        """End it: its session's globals cannot be had."""

    def cancel(self, execution: Execution, reason: str) -> None:
        """End it."""


class KeptSessions:
    """On the event loop. Each session runs one program at a time; the others wait in the order they came."""

    def __init__(self, store: Store | None, runs: Runs, replays: Replays, stores: SessionStores) -> None:
        self._store = store
        self._runs = runs
        self._replays = replays
        self._stores = stores
        self._by_id: dict[str, KeptSession] = {}
        self._numbers = itertools.count(1)
        self._opening = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    async def enter(self, program: Program) -> Program:
        """The program as one of its session, if there is to be one.

        Raises SessionRefusedError, SessionLostError and StoreError.
        """
        profile = program.profile
        if self._store is None or not program.keeps_globals:
            return program
        async with self._opening:
            session = await self._open(self._store, program.caller.tenant, kept_name(program), profile.sessions)
            session.admit(program)
            session.image, session.rules, session.isolation = program.image, profile.sessions, profile.isolation
        self._sweep_later()
        return dataclasses.replace(program, kept_session=session.id)

    def digest_of(self, program: Program) -> str:
        """Digest of the image that a session's programs run on; empty if none did yet."""
        session = self._by_id.get(program.kept_session)
        return "" if session is None else session.image_digest

    def place_of(self, execution: Execution) -> Link | None:
        """The worker that has its session's isolate."""
        session = self._by_id.get(execution.program.kept_session)
        return None if session is None else session.place

    def seat(self, execution: Execution) -> tuple[int, int]:
        """The session's number in frames and the program's position in it; zeros for a program without."""
        session = self._by_id.get(execution.program.kept_session)
        if session is None:
            return 0, 0
        execution.position = len(session.history) + 1
        return session.number, execution.position

    # The life of one program.

    def enqueue(self, execution: Execution) -> None:
        """Let it run when it is its turn, in an isolate in which the programs before it have run."""
        session = self._by_id.get(execution.program.kept_session)
        if session is None:
            self._spawn(self._find_and_enqueue(execution))
        elif session.closing:
            self._runs.cancel(execution, _CLOSED)
        elif session.running is not None and not session.runs(execution):
            session.waiting.append(execution)
        else:
            self._begin(session, execution)

    async def _find_and_enqueue(self, execution: Execution) -> None:
        """After a restart of the gateway."""
        assert self._store is not None
        try:
            row = await self._store.session_by_id(execution.program.kept_session)
            async with self._opening:
                is_open = row is not None and row.state == "open"
                session = await self._loaded(self._store, row) if row is not None and is_open else None
        except StoreError as error:
            self._runs.session_lost(execution, str(error))
            return
        if session is None:
            self._runs.session_lost(execution, "it was closed")
        elif session.lost:
            await self._shut_if_possible(session)
            self._runs.session_lost(execution, session.lost)
        else:
            self.enqueue(execution)

    def _begin(self, session: KeptSession, execution: Execution) -> None:
        session.running = execution
        if not session.history or session.place is not None:
            self._runs.start_in_session(execution)
        elif not session.preparing:
            session.preparing = True
            self._spawn(self._prepare(session, execution.program))

    async def _prepare(self, session: KeptSession, program: Program) -> None:
        try:
            await make_again(session, program, self._replays)
        except (SessionLostError, StoreError, TimeoutError) as error:
            session.preparing = False
            self._lose(session, str(error) or "no worker was free in time")
            return
        session.preparing = False
        if session.running is not None:
            self._runs.start_in_session(session.running)

    def _lose(self, session: KeptSession, reason: str) -> None:
        """Its globals are gone: what waits for them ends, and the next program begins a new session."""
        log.error("session %s is lost: %s", session.id, reason)
        self._spawn(self._shut_if_possible(session))
        for execution in self._let_go(session):
            self._runs.session_lost(execution, reason)

    def ran(self, execution: Execution, link: Link) -> None:
        """One left its worker, which keeps the isolate if it can."""
        session = self._by_id.get(execution.program.kept_session)
        if session is not None:
            session.link, session.at = link, execution.kept
            session.memory_bytes = execution.usage.memory_bytes if execution.usage is not None else 0

    def ended(self, execution: Execution) -> None:
        """One is over, and the store knows: the next may begin."""
        session = self._by_id.get(execution.program.kept_session)
        if session is None:
            return
        if not session.runs(execution):
            with contextlib.suppress(ValueError):
                session.waiting.remove(execution)
            return
        session.running = None
        session.used_ns = time.time_ns()
        if execution.in_session:
            session.history.append(execution.id)
            session.image_digest = execution.image_digest
        if self._store is not None:
            with contextlib.suppress(StoreError):
                self._store.write_soon(UpdateSession(id=session.id, used_ns=session.used_ns))
        if session.waiting:
            self._begin(session, session.waiting.popleft())

    # Opening, listing, forking, closing.

    async def _open(self, store: Store, tenant: str, name: str, rules: SessionRules) -> KeptSession:
        row = await store.session(tenant, name)
        session = None if row is None else await self._loaded(store, row)
        if session is not None and await is_over(store, session, rules):
            await self.close(session)
            session = None
        if session is not None and session.lost:
            raise SessionLostError(session.lost)
        return session or await self._new(store, tenant, name, rules)

    async def _new(self, store: Store, tenant: str, name: str, rules: SessionRules) -> KeptSession:
        await self._check_room(store, tenant, rules)
        now = time.time_ns()
        session = KeptSession(
            id=new_session_id(),
            tenant=tenant,
            name=name,
            number=next(self._numbers),
            created_ns=now,
            used_ns=now,
            rules=rules,
        )
        await store.write(PutSession(session.row()))
        self._by_id[session.id] = session
        return session

    async def _check_room(self, store: Store, tenant: str, rules: SessionRules) -> None:
        rows = await open_rows(store, tenant)
        if len(rows) >= rules.per_owner and len(rows) - await self._closed_of(store, rows, rules) >= rules.per_owner:
            message = f"this owner has {rules.per_owner} open sessions, which is sessions.per_owner; close one"
            raise SessionRefusedError("TOO_MANY_SESSIONS", message)

    async def _closed_of(self, store: Store, rows: list[SessionRow], rules: SessionRules) -> int:
        """Close those that are over, and say how many; of those used before a restart nobody else knows it."""
        closed = 0
        for row in rows:
            session = await self._loaded(store, row)
            if await is_over(store, session, session.rules or rules):
                await self.close(session)
                closed += 1
        return closed

    async def _loaded(self, store: Store, row: SessionRow) -> KeptSession:
        """The session of a row. One that is lost is known to nobody, so that no program can come into it."""
        if (known := self._by_id.get(row.id)) is not None:
            return known
        session = await restored_session(store, row, next(self._numbers), self._replays.recorded)
        if not session.lost:
            self._by_id[row.id] = session
        return session

    async def find(self, tenant: str, session_id: str) -> KeptSession:
        """An open session by its id. Raises SessionRefusedError if the tenant has none such; StoreError."""
        row = None if self._store is None else await self._store.session_by_id(session_id)
        if row is None or self._store is None or row.tenant != tenant or row.state != "open":
            raise SessionRefusedError("NO_SUCH_SESSION", f'there is no open session "{session_id[:100]}"')
        async with self._opening:
            return await self._loaded(self._store, row)

    async def all_of(self, tenant: str) -> list[KeptSession]:
        """A tenant's open sessions, oldest first. Raises StoreError."""
        if self._store is None:
            return []
        rows = await open_rows(self._store, tenant)
        async with self._opening:
            return [await self._loaded(self._store, row) for row in rows]

    async def fork(self, source: KeptSession, session_id: str, after: str = "") -> KeptSession:
        """A new session with the history of another up to an execution of it, or all; no host call is repeated.

        Raises SessionRefusedError, SessionLostError and StoreError.
        """
        assert self._store is not None
        if source.lost:
            raise SessionLostError(source.lost)
        if after and after not in source.history:
            message = f'"{after[:100]}" is not among the programs whose globals the session has'
            raise SessionRefusedError("NO_SUCH_EXECUTION", message)
        history = source.history[: source.history.index(after) + 1] if after else list(source.history)
        name = f"{source.language}:{session_id}"
        async with self._opening:
            if await self._store.session(source.tenant, name) is not None:
                raise SessionRefusedError("SESSION_EXISTS", f'"{session_id}" is open already; close it, or use another')
            await self._check_room(self._store, source.tenant, source.rules or SessionRules())
            now = time.time_ns()
            forked = KeptSession(
                id=new_session_id(),
                tenant=source.tenant,
                name=name,
                number=next(self._numbers),
                created_ns=now,
                used_ns=now,
                parent=source.id,
                rules=source.rules,
                isolation=source.isolation,
                image=source.image if history else "",
                image_digest=source.image_digest if history else "",
                history=history,
            )
            await self._store.write(PutSession(forked.row(history[-1] if history else "")))
            self._by_id[forked.id] = forked
        return forked

    async def close(self, session: KeptSession) -> None:
        """End what runs and waits in it, and forget its globals. Raises StoreError, and then it is still open."""
        await self._shut(session)
        for execution in self._let_go(session):
            self._runs.cancel(execution, _CLOSED)

    async def close_with_store(self, session: KeptSession) -> None:
        """As `close`, for its owner; then its store is forgotten, too, unless another open session has it.

        That of a lost session stays, since nothing else is left of it. Whatever runs has ended before: it would go on
        setting values. Raises SessionRefusedError and StoreError, and then the session is still open.
        """
        if session.closing:
            raise SessionRefusedError("SESSION_BUSY", "the session is being closed already")
        session.closing = True
        try:
            await self._end_all(session)
            async with self._opening:
                if await self._has_own_store(session):
                    tenant, name = session.tenant, session.session_id
                    await self._shut(session, *self._stores.deletions(tenant, name))
                    self._stores.forget(tenant, name)  # and what was set while that was written
                else:
                    await self._shut(session)
                self._let_go(session)
        except BaseException:
            session.closing = False
            raise

    async def _has_own_store(self, session: KeptSession) -> bool:
        assert self._store is not None
        if session.lost or await self._store.session(session.tenant, session.sibling) is not None:
            return False
        await self._stores.ready()
        return True

    async def _end_all(self, session: KeptSession) -> None:
        left = session.programs
        session.waiting.clear()  # so that none of them begins when the one before it ends
        for execution in left:
            self._runs.cancel(execution, _CLOSED)
        for execution in left:
            await execution.ended.wait()

    async def _shut(self, session: KeptSession, *changes: Change) -> None:
        assert self._store is not None
        await self._store.write(UpdateSession(id=session.id, used_ns=time.time_ns(), state="closed"), *changes)

    async def _shut_if_possible(self, session: KeptSession) -> None:
        with contextlib.suppress(StoreError):
            await self._shut(session)

    def _let_go(self, session: KeptSession) -> list[Execution]:
        """Forget it; what was in it."""
        self._by_id.pop(session.id, None)
        left = session.programs
        session.running = None
        session.waiting.clear()
        if session.link is not None:
            session.link.end_session(session.number)
            if not left:
                self._replays.leave_worker(session.link, session.isolation)
        return left

    def _sweep_later(self) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(_SWEEP_S, lambda: self._spawn(self._sweep()))

    async def _sweep(self) -> None:
        """Close those that are over."""
        self._sweeper = None
        assert self._store is not None
        for session in list(self._by_id.values()):
            if session.rules is not None:
                with contextlib.suppress(StoreError):
                    if await is_over(self._store, session, session.rules):
                        await self.close(session)
        if self._by_id:
            self._sweep_later()

    def stop(self) -> None:
        """Begin nothing any more."""
        if self._sweeper is not None:
            self._sweeper.cancel()
        for task in list(self._tasks):
            task.cancel()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
