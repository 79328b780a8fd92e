"""Tells a webhook of approvals: from the store, again until it is taken, each message under one id."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from runtime.execution.hostcall import HostCallError
from runtime.governance.approval import Approval
from runtime.store.changes import UpdateDelivery
from runtime.store.errors import StoreConflictError, StoreError
from runtime.store.records import DeliveryRow, DeliveryState
from runtime.store.store import Store
from sandboxes.webhook_signature import signed_headers

log = logging.getLogger(__name__)

MOST_TRIES: Final = 15
FIRST_WAIT_S: Final = 5
MOST_WAIT_S: Final = 3_600
AT_ONCE: Final = 8
_LOOK_S: Final = 1.0
_GONE: Final = 410
_MOST_PROBLEM: Final = 300

type Post = Callable[[Mapping[str, str], bytes], Awaitable[int]]
"""Sends headers and a body to the webhook; the status of the answer. Raises HostCallError."""


class WebhookSender:
    """On the event loop. `wake` says that something may be due."""

    def __init__(self, store: Store, post: Post, key: bytes, *, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._store = store
        self._post = post
        self._key = key
        self._now_ns = now_ns
        self._awake = asyncio.Event()

    def wake(self) -> None:
        """Look at what is due now."""
        self._awake.set()

    async def run(self) -> None:
        """Deliver what is due, until cancelled."""
        while True:
            self._awake.clear()
            try:
                await self.deliver_due()
            except StoreError as error:
                log.warning("webhooks wait for the store: %s", error)
            try:
                async with asyncio.timeout(_LOOK_S):
                    await self._awake.wait()
            except TimeoutError:
                continue

    async def deliver_due(self) -> int:
        """One try of each delivery that is due; how many were. Raises StoreUnavailableError."""
        due = await self._store.deliveries(self._now_ns(), AT_ONCE)
        await asyncio.gather(*(self._try(delivery) for delivery in due))
        return len(due)

    async def _try(self, delivery: DeliveryRow) -> None:
        row = await self._store.approval(delivery.approval_id)
        if row is None:
            return await self._note(delivery, "given up", "the approval is no longer kept")
        approval = Approval.of(row, tuple(await self._store.decisions(row.id)))
        body = message(approval, delivery.event, self._now_ns())
        headers = signed_headers(self._key, delivery.id, self._now_ns() // 10**9, body)
        problem = ""
        try:
            status = await self._post({"content-type": "application/json", **headers}, body)
        except HostCallError as error:
            status, problem = 0, error.message
        if 200 <= status < 300:  # noqa: PLR2004 - RFC 9110, 15.3
            return await self._note(delivery, "delivered", "")
        problem = problem or f"answered {status}"
        last = delivery.attempts + 1 >= MOST_TRIES or status == _GONE
        if last:
            log.warning("webhook message %s is given up: %s", delivery.id, problem)
        return await self._note(delivery, "given up" if last else "waiting", problem)

    async def _note(self, delivery: DeliveryRow, state: DeliveryState, problem: str) -> None:
        wait_s = min(MOST_WAIT_S, FIRST_WAIT_S * 2**delivery.attempts)
        change = UpdateDelivery(
            id=delivery.id,
            attempts=delivery.attempts + 1,
            next_ns=self._now_ns() + wait_s * 10**9,
            state=state,
            problem=problem[:_MOST_PROBLEM],
        )
        try:
            await self._store.write(change)
        except StoreConflictError:
            return  # another gateway has tried it meanwhile


def message(approval: Approval, event: str, now_ns: int) -> bytes:
    """The body, as Standard Webhooks has it: type, timestamp, data. What is shown of an approval, without secrets."""
    row = approval.row
    data: dict[str, Any] = {
        "approval_id": row.id,
        "state": row.state,
        "digest": row.digest,
        "approvers_needed": row.needed,
        "created_at": _time(row.created_ns),
        "expires_at": _time(row.expires_ns),
        "decisions": [
            {"approver": each.approver, "verdict": each.verdict, "reason": each.reason} for each in approval.decisions
        ],
        "request": approval.request.model_dump(mode="json"),
    }
    told = {"type": event, "timestamp": _time(now_ns), "data": data}
    return json.dumps(told, ensure_ascii=False).encode("utf-8", "replace")


def _time(moment_ns: int) -> str:
    return datetime.fromtimestamp(moment_ns // 10**9, UTC).isoformat().replace("+00:00", "Z")
