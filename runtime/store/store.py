"""The store: the one interface behind which executions, approvals, sessions and results outlive the gateway."""

from dataclasses import dataclass
from typing import Protocol

from runtime.store.changes import Change
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

PAGE = 100
"""Rows of a page unless told otherwise."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreState:
    """Whether the store takes writes; `reason` says why not, and what to do."""

    ok: bool
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreUsage:
    """Bytes kept, and the quota on them (0 for none). Of one tenant, or of all."""

    bytes: int
    quota: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruned:
    """What retention removed."""

    executions: int = 0
    results: int = 0
    sessions: int = 0
    bytes: int = 0


class Store(Protocol):
    """Writes are grouped into transactions; reads see what `write` returned for. All from one event loop.

    Every method may raise StoreUnavailableError. Lists are in the order of their numbers or ids; those with `limit` are
    pages: ask again from the last one's id.
    """

    @property
    def state(self) -> StoreState:
        """Whether it takes writes, as far as the last ones tell."""

    async def open(self) -> None:
        """Connect, and bring the schema up to date. Raises StoreVersionError if it is a newer Lockgate's."""

    async def claim(self) -> bool:
        """Whether this process is to recover what others left: the first that asked is, until it closes or ends."""

    async def close(self) -> None:
        """Write what is queued, and let go of everything."""

    async def write(self, *changes: Change) -> None:
        """Make all the changes, durably, or none of them, after what was written before.

        Raises StoreConflictError, StoreQuotaError, StoreUnavailableError.
        """

    def write_soon(self, *changes: Change) -> None:
        """Make all the changes within 50 ms, or with the next `write`, whichever is sooner; never after a later one.

        A conflict is logged and drops these changes only. While the store is unavailable they stay queued. Raises
        StoreUnavailableError when the queue is full.
        """

    async def flush(self) -> None:
        """Everything that is queued has become durable. Raises StoreUnavailableError."""

    async def execution(self, execution_id: str) -> ExecutionRow | None:
        """One, whole."""

    async def execution_by_key(self, principal: str, key: str) -> ExecutionRow | None:
        """The one that an idempotency key stands for."""

    async def unfinished(self, after: str = "", limit: int = PAGE) -> list[ExecutionHead]:
        """Those that run or are paused, oldest first, after the id `after`."""

    async def waking(self, after: str = "", limit: int = PAGE) -> list[WakingRow]:
        """Paused ones that wait for a timer, too, by id, after the id `after`."""

    async def executions(  # noqa: PLR0913 - filters
        self,
        *,
        principal: str | None = None,
        tenant: str | None = None,
        state: ExecutionState | None = None,
        session: str | None = None,
        before: str = "",
        limit: int = PAGE,
    ) -> list[ExecutionHead]:
        """Newest first, before the id `before`. `session` goes with `tenant`."""

    async def calls(self, execution_id: str) -> list[CallRow]:
        """All host calls of one, by number."""

    async def trace(self, execution_id: str) -> list[TraceRow]:
        """By part."""

    async def logs(self, execution_id: str) -> list[LogRow]:
        """By number."""

    async def files(self, execution_id: str) -> list[FileRow]:
        """By number."""

    async def profile(self, digest: str) -> ProfileRow | None:
        """A profile that some execution began under."""

    async def image_digests_in_use(self) -> frozenset[str]:
        """Images that a kept execution refers to."""

    async def approval(self, approval_id: str) -> ApprovalRow | None:
        """One."""

    async def approvals(  # noqa: PLR0913 - filters
        self,
        *,
        tenant: str | None = None,
        execution_id: str | None = None,
        state: ApprovalState | None = None,
        expires_before_ns: int = 0,
        after: str = "",
        limit: int = PAGE,
    ) -> list[ApprovalRow]:
        """By id, after the id `after`."""

    async def decisions(self, approval_id: str) -> list[DecisionRow]:
        """By number."""

    async def deliveries(self, due_ns: int, limit: int = PAGE) -> list[DeliveryRow]:
        """Those that wait and are due, the longest due first."""

    async def session(self, tenant: str, name: str) -> SessionRow | None:
        """The open one of that name."""

    async def session_by_id(self, session_id: str) -> SessionRow | None:
        """One by id."""

    async def sessions(self, tenant: str | None = None, after: str = "", limit: int = PAGE) -> list[SessionRow]:
        """By id, after the id `after`."""

    async def result(self, handle: str) -> ResultRow | None:
        """A kept result, expired or not."""

    async def result_handles(self, limit: int) -> list[str]:
        """Of kept results, expired or not, those that expire last, the last first."""

    async def value_sessions(self, limit: int) -> list[tuple[str, str]]:
        """Tenant and session of those that have values, the one that was written to last first."""

    async def values(self, tenant: str, session: str) -> list[ValueRow]:
        """All of a session, in the order in which their keys were first put."""

    async def usage(self, tenant: str | None = None) -> StoreUsage:
        """What is kept of a tenant, or of all, in bytes."""

    async def prune(self, now_ns: int) -> Pruned:
        """Remove what retention no longer keeps; small transactions, between which writes go on."""
