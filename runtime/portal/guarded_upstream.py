"""An upstream behind its circuit breaker, with a bound on the calls that may be under way."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from runtime.execution.hostcall import CallContext, HostCallError
from runtime.execution.literal_request import Preview
from runtime.portal.circuit_breaker import CircuitBreaker, Pass, Refusal, Verdict
from runtime.portal.tool import Tool, ToolReply
from runtime.portal.upstream import Publish, Upstream
from runtime.portal.upstream_state import UpstreamState

MAX_PARALLEL_CALLS: Final = 64
PATIENCE_S: Final = 5.0
"""A call that was given up sooner, because its execution had no more time, says nothing about the upstream."""
_ABSENT: Final = frozenset({502, 503, 504})
_CLOSE_TO_END_S: Final = 0.05


class GuardedUpstream:
    """Calls fail at once while the breaker has tripped; a call it lets through is judged by how it ends."""

    def __init__(
        self,
        inner: Upstream,
        *,
        call_timeout_s: float,
        changed: Callable[[str], None],
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self.name = inner.name
        self._inner = inner
        self._call_timeout_s = call_timeout_s
        self._patience_s = min(PATIENCE_S, call_timeout_s * 0.9)
        self._changed = changed
        self.breaker = breaker or CircuitBreaker()
        self._tripped_at = 0.0
        self._turns = asyncio.Semaphore(MAX_PARALLEL_CALLS)

    async def run(self, publish: Publish) -> None:
        """As the upstream does."""
        await self._inner.run(publish)

    def standing(self, state: UpstreamState) -> UpstreamState:
        """`state`, or what the breaker says if the upstream would be ready otherwise."""
        now = time.monotonic()
        standing = self.breaker.standing(now)
        if state.phase != "ready" or standing == "closed":
            return state
        again = "the next one is a trial"
        if standing == "tripped":
            again = f"none is made for another {self.breaker.wait_s(now):.0f} s"
        reason = f"{self.breaker.failures} calls in a row failed, the last: {self.breaker.reason}; {again}"
        return replace(state, phase=standing, reason=reason, since=self._tripped_at, failures=self.breaker.failures)

    def repeatable(self, tool: Tool) -> bool:
        """As the upstream does."""
        return self._inner.repeatable(tool)

    def preview(self, tool: Tool, arguments: Any, context: CallContext) -> Preview:
        """As the upstream does."""
        return self._inner.preview(tool, arguments, context)

    async def call(self, tool: Tool, arguments: Any, context: CallContext) -> ToolReply:
        """As the upstream does. Raises HostCallError, `unavailable` while the breaker lets nothing through."""
        await self._turn(tool)
        try:
            admitted = self.breaker.admit(time.monotonic())
            if isinstance(admitted, Refusal):
                raise self._refused(tool, admitted)
            return await self._judged(admitted, tool, arguments, context)
        finally:
            self._turns.release()

    async def _turn(self, tool: Tool) -> None:
        try:
            async with asyncio.timeout(self._call_timeout_s):
                await self._turns.acquire()
        except TimeoutError:
            message = f"upstream {self.name} is busy: {MAX_PARALLEL_CALLS} calls of it are under way; nothing was sent"
            details = {"sent": False, "limit": "parallel_calls", "value": MAX_PARALLEL_CALLS}
            raise HostCallError("unavailable", message, retryable=True, tool=tool.full_name, details=details) from None

    async def _judged(self, admitted: Pass, tool: Tool, arguments: Any, context: CallContext) -> ToolReply:
        verdict: Verdict = "unknown"
        reason = f"{tool.full_name}: no answer in time"
        began = time.monotonic()
        try:
            reply = await self._inner.call(tool, arguments, context)
            verdict = "worked"
        except HostCallError as error:
            reason = error.message
            verdict = _verdict(error, waited=time.monotonic() - began >= self._patience_s)
            raise
        except asyncio.CancelledError:
            late = time.monotonic() >= context.deadline - _CLOSE_TO_END_S
            verdict = "failed" if late and time.monotonic() - began >= self._patience_s else "unknown"
            raise
        finally:
            self._end(admitted, verdict, reason)
        return reply

    def _end(self, call: Pass, verdict: Verdict, reason: str) -> None:
        before = (self.breaker.trips, self.breaker.failures)
        self.breaker.ended(call, verdict, time.monotonic(), reason)
        if self.breaker.trips != before[0] and not call.trial:
            self._tripped_at = time.time()
        if (self.breaker.trips, self.breaker.failures) != before:
            self._changed(self.name)

    def _refused(self, tool: Tool, refusal: Refusal) -> HostCallError:
        seconds = refusal.retry_after_s
        return HostCallError(
            "unavailable",
            f"upstream {self.name} is not called for another {seconds:.1f} s: {self.breaker.failures} calls in a row "
            f"failed, the last: {self.breaker.reason}; nothing was sent",
            retryable=True,
            tool=tool.full_name,
            retry_after=round(seconds, 3),
            details={"sent": False, "circuit": self.breaker.standing(time.monotonic())},
        )


def _verdict(error: HostCallError, *, waited: bool) -> Verdict:
    """What a failed call says of its upstream. Whatever it answered, it answered."""
    details = error.details if isinstance(error.details, dict) else {}
    if error.status in _ABSENT:
        return "failed"
    if error.code == "timeout" and not error.status:
        return "failed" if waited else "unknown"
    if error.code == "unavailable":
        ours = "limit" in details or details.get("connected") is False
        return "unknown" if ours else "failed"
    return "worked" if error.code in {"upstream_error", "not_found"} or error.status else "unknown"
