"""Performs the host calls of executions: bounds them, routes them, records them."""

import asyncio
import json
import logging
import time
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from runtime.execution.execution import CallEnded, CallStarted, Execution, HostCallRecord
from runtime.execution.hostcall import CallContext, HostCallError
from runtime.worker.frames import Call

log = logging.getLogger(__name__)

TOOL, FETCH = 1, 2
_MOST_TARGET = 300


@dataclass(kw_only=True, slots=True)
class Answer:
    """A host call's good end: `payload` is JSON text; the rest is for the record."""

    payload: str
    http_status: int = 0
    bytes_in: int = 0
    egress: str = ""
    credential: str = ""


class Tools(Protocol):
    """Where tool calls go."""

    def read_only(self, name: str) -> bool:
        """Whether a tool only reads; false for one that is unknown."""

    async def call(self, name: str, arguments: dict[str, Any], context: CallContext) -> Answer:
        """Call a tool. Raises HostCallError."""


class Fetcher(Protocol):
    """Where fetches go."""

    async def fetch(self, request: dict[str, Any], context: CallContext, rules: str) -> Answer:
        """Fetch under the rule set `rules` (a digest). Raises HostCallError."""


class HostCalls:
    """The host calls of one execution."""

    def __init__(self, execution: Execution, context: CallContext, tools: Tools, fetcher: Fetcher) -> None:
        self._execution = execution
        self._context = context
        self._tools = tools
        self._fetcher = fetcher
        self._turns = asyncio.Semaphore(execution.program.limits.parallel_host_calls)

    async def perform(self, call: Call) -> tuple[bool, str]:
        """Make one call: whether it went well, and JSON for the program. Never raises but for cancellation."""
        record = self._record(call)
        self._execution.calls.append(record)
        self._execution.happened(CallStarted(record))
        try:
            ok, payload = await self._bounded(call, record)
        except asyncio.CancelledError:
            record.ended = time.monotonic()
            raise
        except HostCallError as error:
            ok, payload = False, _failed(record, error)
        except Exception:
            log.exception("host call %d of %s failed", record.number, self._execution.id)
            ok, payload = False, _failed(record, HostCallError("internal", "the gateway failed to make this call"))
        record.ended = time.monotonic()
        self._execution.happened(CallEnded(record))
        return ok, payload

    def _record(self, call: Call) -> HostCallRecord:
        kind: Literal["tool", "fetch"] = "fetch" if call.kind == FETCH else "tool"
        return HostCallRecord(
            number=len(self._execution.calls) + 1,
            kind=kind,
            target=call.name[:_MOST_TARGET],
            started=time.monotonic(),
            bytes_out=len(call.payload),
            read_only=kind == "tool" and self._tools.read_only(call.name),
        )

    async def _bounded(self, call: Call, record: HostCallRecord) -> tuple[bool, str]:
        limits = self._execution.program.limits
        if record.number > limits.host_calls:
            raise _over("host_calls", limits.host_calls, "host calls in one execution")
        if len(call.payload) > limits.call_bytes:
            raise _over("call_bytes", limits.call_bytes, "bytes in one host call")
        arguments = _parse(call)
        if call.kind == FETCH:
            record.target, record.read_only = _describe_fetch(arguments)
        async with self._turns:
            left = self._context.deadline - time.monotonic()
            try:
                async with asyncio.timeout(max(0.0, left)):
                    answer = await self._route(call, arguments)
            except TimeoutError:
                raise HostCallError("timeout", "the execution's time was over before the answer came") from None
        record.http_status, record.bytes_in = answer.http_status, answer.bytes_in or len(answer.payload)
        record.egress, record.credential, record.outcome = answer.egress, answer.credential, "ok"
        if len(answer.payload) > _MOST_TIMES_LARGER * limits.response_bytes:
            raise _over("response_bytes", limits.response_bytes, "bytes in one answer")
        return True, answer.payload

    async def _route(self, call: Call, arguments: dict[str, Any]) -> Answer:
        if call.kind == FETCH:
            rules = self._execution.program.profile.egress.digest()
            return await self._fetcher.fetch(arguments, self._context, rules)
        if call.kind == TOOL:
            return await self._tools.call(call.name, arguments, self._context)
        raise HostCallError("invalid_argument", f"there is no host call of kind {call.kind}")


# JSON and base64 make an answer longer than the body that response_bytes bounds.
_MOST_TIMES_LARGER = 8


def _over(limit: str, value: int, what: str) -> HostCallError:
    details = {"limit": limit, "value": value}
    return HostCallError("limit", f"limit {limit} reached: at most {value} {what}", details=details)


def _parse(call: Call) -> dict[str, Any]:
    try:
        arguments = json.loads(call.payload)
    except (ValueError, RecursionError):
        raise HostCallError("invalid_argument", "the arguments are not JSON, or nested too deeply") from None
    if not isinstance(arguments, dict):
        raise HostCallError("invalid_argument", "the arguments are not one JSON object")
    return arguments


def _describe_fetch(request: dict[str, Any]) -> tuple[str, bool]:
    method, url = str(request.get("method", "GET")).upper(), str(request.get("url", ""))
    return f"{method[:16]} {url.partition('?')[0]}"[:_MOST_TARGET], method in {"GET", "HEAD", "OPTIONS"}


def _failed(record: HostCallRecord, error: HostCallError) -> str:
    record.outcome = error.code
    record.http_status = record.http_status or error.status or 0
    record.egress = error.egress[:_MOST_TARGET]
    if error.code == "denied" and isinstance(error.details, dict) and "reason" in error.details:
        record.egress = f"denied: {error.details['reason']}"[:_MOST_TARGET]
    if error.tool is None and record.kind == "tool":
        error.tool = record.target
    return json.dumps(error.to_json(), default=str)
