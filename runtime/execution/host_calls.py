"""Performs the host calls of executions: bounds them, routes them, records them."""

import asyncio
import json
import logging
import re
import time
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from runtime.execution.byte_budget import ByteBudget, Hold, current_hold
from runtime.execution.execution import CallEnded, CallStarted, Execution, HostCallRecord
from runtime.execution.hostcall import CallContext, HostCallError
from runtime.execution.literal_request import Preview
from runtime.execution.window import Window
from runtime.isolate.guest import fits
from runtime.worker.frames import MOST_PAYLOAD, Call
from sandboxes.bounded_json import JsonBoundError, loads

log = logging.getLogger(__name__)

TOOL, FETCH = 1, 2
LEAST_WAITING_BYTES = 32 << 20
"""Bytes of payloads one execution may have waiting here; more if a single call may be larger."""

_MOST_TARGET = 300
_CLOSE_TO_END_S = 0.02
_AFTER_END_S = 1.0


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

    def read_only(self, name: str, session: str = "") -> bool:
        """Whether a tool only reads; false for one that is unknown. `session`: as in CallContext."""

    async def call(self, name: str, arguments: dict[str, Any], context: CallContext) -> Answer:
        """Call a tool. Raises HostCallError."""

    def preview(self, name: str, arguments: dict[str, Any], context: CallContext) -> Preview | None:
        """What `call` would send, None where nothing leaves. Raises HostCallError as `call` would before it sends."""


class Fetcher(Protocol):
    """Where fetches go."""

    async def fetch(self, request: dict[str, Any], context: CallContext, rules: str) -> Answer:
        """Fetch under the rule set `rules` (a digest). Raises HostCallError."""

    def preview(self, request: dict[str, Any], context: CallContext) -> Preview:
        """What `fetch` would send first. Raises HostCallError."""


class HostCalls:
    """The host calls of one execution."""

    def __init__(
        self,
        execution: Execution,
        context: CallContext,
        tools: Tools,
        fetcher: Fetcher,
        budget: ByteBudget | None = None,
    ) -> None:
        self._execution = execution
        self._context = context
        self._tools = tools
        self._fetcher = fetcher
        limits = execution.program.limits
        self._turns = asyncio.Semaphore(limits.parallel_host_calls)
        self._budget = budget or ByteBudget()
        self.window = Window()
        self._waiting = 0
        self._most_waiting = max(LEAST_WAITING_BYTES, 2 * limits.call_bytes)

    async def perform(self, call: Call) -> tuple[bool, str]:
        """Make one call: whether it went well, and JSON for the program. Never raises but for cancellation."""
        limits = self._execution.program.limits
        if len(self._execution.calls) >= limits.host_calls:
            # The worker has counted already. One that lies shall not fill the record.
            return False, json.dumps(_over("host_calls", limits.host_calls, "host calls in one execution").to_json())
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
            if error.code == "timeout":
                await self._until_over(record)
        except Exception:
            log.exception("host call %d of %s failed", record.number, self._execution.id)
            ok, payload = False, _failed(record, HostCallError("internal", "the gateway failed to make this call"))
        record.ended = time.monotonic()
        self._execution.happened(CallEnded(record))
        return ok, payload

    async def _until_over(self, record: HostCallRecord) -> None:
        """With a call's deadline the execution ends too; the program must not be told of the one before the other."""
        record.ended = time.monotonic()
        if record.ended >= self._context.deadline - _CLOSE_TO_END_S:
            await asyncio.sleep(_AFTER_END_S)

    def _record(self, call: Call) -> HostCallRecord:
        kind: Literal["tool", "fetch"] = "fetch" if call.kind == FETCH else "tool"
        return HostCallRecord(
            number=len(self._execution.calls) + 1,
            kind=kind,
            target=call.name[:_MOST_TARGET],
            started=time.monotonic(),
            bytes_out=len(call.payload),
            read_only=kind == "tool" and self._tools.read_only(call.name, self._context.session),
        )

    async def _bounded(self, call: Call, record: HostCallRecord) -> tuple[bool, str]:
        limits = self._execution.program.limits
        if len(call.payload) > limits.call_bytes:
            raise _over("call_bytes", limits.call_bytes, "bytes in one host call")
        answer = await self._in_turn(call, record)
        record.http_status, record.bytes_in = answer.http_status, answer.bytes_in or len(answer.payload)
        record.egress, record.credential, record.outcome = answer.egress, answer.credential, "ok"
        if not fits(answer.payload, min(_MOST_TIMES_LARGER * limits.response_bytes, _MOST_ANSWER)):
            raise _over("response_bytes", limits.response_bytes, "bytes in one answer")
        return True, answer.payload

    async def _in_turn(self, call: Call, record: HostCallRecord) -> Answer:
        """Wait among the execution's other calls, bounded in bytes; arguments are parsed when the turn has come."""
        if self._waiting + len(call.payload) > self._most_waiting:
            raise _over("call_bytes", self._most_waiting, "bytes of host calls waiting at once; await earlier ones")
        if call.kind == FETCH:
            record.target, record.read_only = _describe_fetch(_parse(call))
        hold = Hold(self._budget)
        hold.take_for_call(len(call.payload), sent=False)
        self._waiting += len(call.payload)
        reset = current_hold.set(hold)
        try:
            async with self._turns:
                left = self._context.deadline - time.monotonic()
                async with asyncio.timeout(max(0.0, left)):
                    await self.window.wait_open()
                    arguments = _parse(call)
                    record.began = True
                    return await self._route(call, arguments)
        except TimeoutError:
            raise HostCallError("timeout", "the execution's time was over before the answer came") from None
        finally:
            current_hold.reset(reset)
            hold.release()
            self._waiting -= len(call.payload)

    async def _route(self, call: Call, arguments: dict[str, Any]) -> Answer:
        if self._context.read_only:
            self._check_reads(call)
        if call.kind == FETCH:
            rules = self._execution.program.profile.egress.digest()
            return await self._fetcher.fetch(arguments, self._context, rules)
        if call.kind == TOOL:
            return await self._tools.call(call.name, arguments, self._context)
        raise HostCallError("invalid_argument", f"there is no host call of kind {call.kind}")

    def _check_reads(self, call: Call) -> None:
        """Which tool is meant is settled by the next step, before anything else can run. Raises HostCallError."""
        if call.kind == TOOL and self._tools.read_only(call.name):
            return
        what = "fetch" if call.kind == FETCH else f"{call.name[:_MOST_TARGET]} is not known to only read; it"
        message = f"{what} is refused: this execution may only call tools that read"
        raise HostCallError("denied", message, details={"rule": "read_only", "sent": False})


# JSON and base64 make an answer longer than the body that response_bytes bounds.
_MOST_TIMES_LARGER = 8
_MOST_ANSWER = MOST_PAYLOAD - 64


def _over(limit: str, value: int, what: str) -> HostCallError:
    details = {"limit": limit, "value": value}
    return HostCallError("limit", f"limit {limit} reached: at most {value} {what}", details=details)


# An escaped backslash, a surrogate pair, or half of one, in JSON text.
_SURROGATES = re.compile(
    r"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def _parse(call: Call) -> dict[str, Any]:
    """The arguments; half a surrogate pair, which is no text outside, becomes U+FFFD."""
    payload = call.payload
    if "\\ud" in payload or "\\uD" in payload:
        payload = _SURROGATES.sub(lambda match: "\\ufffd" if match["half"] else match[0], payload)
    try:
        arguments = loads(payload)
    except JsonBoundError as error:
        raise HostCallError("invalid_argument", f"the arguments are {error}") from None
    except ValueError:
        raise HostCallError("invalid_argument", "the arguments are not JSON") from None
    if not isinstance(arguments, dict):
        raise HostCallError("invalid_argument", "the arguments are not one JSON object")
    return arguments


def _describe_fetch(request: dict[str, Any]) -> tuple[str, bool]:
    method, url = _word(request, "method", "GET").upper(), _word(request, "url", "")
    return f"{method[:16]} {url.partition('?')[0]}"[:_MOST_TARGET], method in {"GET", "HEAD", "OPTIONS"}


def _word(request: dict[str, Any], name: str, default: str) -> str:
    value = request.get(name, default)
    return value if isinstance(value, str) else "-"


def _failed(record: HostCallRecord, error: HostCallError) -> str:
    record.outcome = error.code
    record.http_status = record.http_status or error.status or 0
    record.egress = error.egress[:_MOST_TARGET]
    record.never_sent = isinstance(error.details, dict) and error.details.get("sent") is False
    if error.code == "denied" and isinstance(error.details, dict) and "reason" in error.details:
        record.egress = f"denied: {error.details['reason']}"[:_MOST_TARGET]
    if error.tool is None and record.kind == "tool":
        error.tool = record.target
    return json.dumps(error.to_json(), default=str)
