"""Questions to humans, over the store: opened, listed, decided, expired, watched."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import replace
from typing import Final

from runtime.governance.approval import Approval
from runtime.governance.verdict import DecisionRefusedError, Said, judge
from runtime.store.changes import Change, DecideApproval, PutApproval, PutDelivery
from runtime.store.errors import StoreConflictError, StoreError
from runtime.store.records import ApprovalRow, ApprovalState, DeliveryRow
from runtime.store.store import PAGE, Store

log = logging.getLogger(__name__)

MOST_BATCH: Final = 100
MOST_EVENTS: Final = 1_000
"""Events that one who watches may be behind; then the stream ends, and has to be begun again."""
_TRIES: Final = 5
_SWEEP_S: Final = 1.0

type Decided = Callable[[str, int], None]
"""Is told an execution's id and the number of its call, when its question was decided."""


class NoSuchApprovalError(LookupError):
    """There is none of this id that the caller may see."""


class Approvals:
    """All of one gateway's. On the event loop. `notify`: whether a webhook wants to hear of them."""

    def __init__(
        self, store: Store, decided: Decided, *, notify: bool = False, now_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._store = store
        self._decided = decided
        self._notify = notify
        self._now_ns = now_ns
        self._watchers: dict[asyncio.Queue[Approval | None], str] = {}
        self.on_delivery: Callable[[], None] = lambda: None

    # What the gate does.

    async def open(self, row: ApprovalRow, *before: Change) -> None:
        """Ask; durable when this returns. `before` is written in one with it. Raises StoreError."""
        await self._store.write(*before, PutApproval(row), *self._delivery(row, "approval.requested"))
        self._tell(Approval.of(row))

    async def of_call(self, execution_id: str, number: int) -> ApprovalRow | None:
        """The newest question about a call. Raises StoreUnavailableError."""
        found: ApprovalRow | None = None
        after = ""
        while page := await self._store.approvals(execution_id=execution_id, after=after):
            found = next((row for row in reversed(page) if row.call_number == number), found)
            after = page[-1].id
            if len(page) < PAGE:
                break
        return found

    async def end(self, row: ApprovalRow, state: ApprovalState, reason: str) -> bool:
        """Expire or void one that is as `row` says; false if somebody was first. Raises StoreUnavailableError."""
        change = DecideApproval(
            id=row.id, expect=row.state, state=state, decided_ns=self._now_ns(), edit=row.edit, reason=reason
        )
        try:
            await self._store.write(change, *self._delivery(row, f"approval.{state}"))
        except StoreConflictError:
            return False
        self._tell(Approval.of(replace(row, state=state, reason=reason)))
        return True

    # What people do.

    async def find(self, principal: str, approval_id: str) -> Approval:
        """One. Raises NoSuchApprovalError, StoreUnavailableError."""
        row = await self._store.approval(approval_id)
        if row is None or not _is_of(row, principal):
            raise NoSuchApprovalError(approval_id)
        return Approval.of(row, tuple(await self._store.decisions(row.id)))

    async def page(
        self,
        principal: str,
        *,
        state: ApprovalState | None = "open",
        execution_id: str | None = None,
        after: str = "",
        limit: int = PAGE,
    ) -> list[Approval]:
        """By age, the oldest first, after the id `after`. Raises StoreUnavailableError."""
        found: list[Approval] = []
        while len(found) < limit:
            page = await self._store.approvals(state=state, execution_id=execution_id, after=after)
            mine = [row for row in page if _is_of(row, principal)]
            found += [Approval.of(row, tuple(await self._store.decisions(row.id))) for row in mine]
            if len(page) < PAGE:
                break
            after = page[-1].id
        return found[:limit]

    async def decide(self, principal: str, said: Sequence[tuple[str, Said]]) -> list[Approval]:
        """One approver's word on one approval, or on several exactly as listed: all of it counts, or nothing.

        Raises DecisionRefusedError, NoSuchApprovalError, StoreError.
        """
        for _ in range(_TRIES):
            asked = [await self.find(principal, approval_id) for approval_id, _ in said]
            _check_alike(asked)
            if all(approval.row.state == "open" for approval in asked):
                await self._check_going_on(asked)
            now = self._now_ns()
            changes: list[Change] = []
            for approval, (_, word) in zip(asked, said, strict=True):
                made = judge(approval.row, approval.decisions, approval.request, word, now)
                decisive = [each for each in made if isinstance(each, DecideApproval)]
                changes += [*made, *(each for one in decisive for each in self._delivery(approval.row, _event(one)))]
            try:
                await self._store.write(*changes)
            except StoreConflictError:
                continue  # somebody else decided meanwhile; what they said counts now
            return await self._after(principal, asked)
        raise StoreConflictError("others decide over the same approvals all the time; try again")

    async def _after(self, principal: str, asked: Sequence[Approval]) -> list[Approval]:
        results = [await self.find(principal, approval.row.id) for approval in asked]
        for approval in results:
            self._tell(approval)
            if approval.row.state in {"approved", "denied"}:
                self._decided(approval.row.execution_id, approval.row.call_number)
        return results

    async def _check_going_on(self, asked: Sequence[Approval]) -> None:
        """A question of an execution that is over is void."""
        execution_id = asked[0].row.execution_id
        head = await self._store.execution(execution_id)
        if head is not None and head.state != "ended":
            return
        for approval in asked:
            await self.end(approval.row, "void", "the execution is over")
        raise DecisionRefusedError("EXECUTION_OVER", f"the execution {execution_id} is over; nothing waits for this")

    async def watch(self, principal: str) -> AsyncGenerator[Approval]:
        """Those open now, then each as it is asked or decided. Ends when the watcher is too far behind."""
        queue: asyncio.Queue[Approval | None] = asyncio.Queue(MOST_EVENTS)
        self._watchers[queue] = principal
        try:
            after = ""
            told: set[tuple[str, str, int]] = set()
            while page := await self.page(principal, after=after):
                for approval in page:
                    told.add(_moment(approval))
                    yield approval
                after = page[-1].row.id
            while (event := await queue.get()) is not None:
                if _moment(event) not in told:
                    yield event
        finally:
            self._watchers.pop(queue, None)

    # By itself.

    async def run(self) -> None:
        """Expire what is due, until cancelled. An expiry never approves."""
        resumed = False
        while True:
            try:
                await self.expire_due()
                if not resumed:
                    await self.resume_decided()
                    resumed = True
            except StoreError as error:
                log.warning("approvals cannot be expired: %s", error)
            await asyncio.sleep(_SWEEP_S)

    async def expire_due(self) -> int:
        """Expire every open question whose time is over; how many. Raises StoreUnavailableError."""
        count = 0
        while due := await self._store.approvals(state="open", expires_before_ns=self._now_ns()):
            ended = [row for row in due if await self.end(row, "expired", "nobody decided in time")]
            for row in ended:
                self._decided(row.execution_id, row.call_number)
            count += len(ended)
            if not ended:
                break
        return count

    async def resume_decided(self) -> int:
        """Tell paused executions of what was decided while no gateway could tell them; how many were told."""
        count, after = 0, ""
        while heads := await self._store.unfinished(after):
            for head in heads:
                if head.state == "paused":
                    count += await self._resume_decided(head.id)
            after = heads[-1].id
        return count

    async def _resume_decided(self, execution_id: str) -> int:
        for call in await self._store.calls(execution_id):
            if call.state != "suspended":
                continue
            row = await self.of_call(execution_id, call.number)
            if row is None or row.state != "open":
                self._decided(execution_id, call.number)
                return 1
        return 0

    def _tell(self, approval: Approval) -> None:
        for queue, principal in list(self._watchers.items()):
            if not _is_of(approval.row, principal):
                continue
            try:
                queue.put_nowait(approval)
            except asyncio.QueueFull:
                del self._watchers[queue]
                queue.get_nowait()
                with contextlib.suppress(asyncio.QueueFull):
                    queue.put_nowait(None)
        if self._notify:
            self.on_delivery()

    def _delivery(self, row: ApprovalRow, event: str) -> tuple[Change, ...]:
        if not self._notify:
            return ()
        return (
            PutDelivery(DeliveryRow(id=f"{row.id}.{event}", approval_id=row.id, event=event, next_ns=self._now_ns())),
        )


def _moment(approval: Approval) -> tuple[str, str, int]:
    return approval.row.id, approval.row.state, len(approval.decisions)


def _event(change: DecideApproval) -> str:
    return f"approval.{change.state}"


def _is_of(row: ApprovalRow, principal: str) -> bool:
    return row.tenant.startswith(f"{principal}/")


def _check_alike(asked: Sequence[Approval]) -> None:
    """Several at once only of one execution and one tool."""
    first = asked[0]
    for other in asked[1:]:
        same = (other.row.execution_id, other.request.tool) == (first.row.execution_id, first.request.tool)
        if not same or other.request.kind != first.request.kind:
            raise DecisionRefusedError(
                "NOT_ALIKE", "one decision over several calls wants them of one execution and one tool"
            )
    if len({approval.row.id for approval in asked}) != len(asked):
        raise DecisionRefusedError("NOT_ALIKE", "an approval is listed twice")
