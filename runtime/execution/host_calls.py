"""Performs the host calls of executions: bounds them, routes them, records them."""

import asyncio
import contextlib
import json
import logging
import re
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, Protocol

from runtime.execution.byte_budget import ByteBudget, Hold, current_hold
from runtime.execution.call_gate import CallGate, GatedCall, OpenGate, Planned, Refused, Suspended
from runtime.execution.call_record import JournalledCall, idempotency_key
from runtime.execution.execution import CallEnded, CallStarted, Execution, HostCallRecord
from runtime.execution.hostcall import CallContext, HostCallError, current_call_edits, current_call_key
from runtime.execution.literal_request import Preview
from runtime.execution.progress import ProgressReports
from runtime.execution.window import Window
from runtime.isolate.guest import fits
from runtime.store.errors import StoreError, StoreQuotaError
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

    def repeatable(self, name: str, session: str = "") -> bool:
        """Whether a tool may be called twice with the same key, and has its effect once."""

    def check(self, name: str, context: CallContext) -> None:
        """Whether there is such a tool, and the profile allows it. Raises HostCallError as `call` would."""

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

    def __init__(  # noqa: PLR0913, PLR0917 - its collaborators
        self,
        execution: Execution,
        context: CallContext,
        tools: Tools,
        fetcher: Fetcher,
        budget: ByteBudget | None = None,
        gate: CallGate | None = None,
    ) -> None:
        self._execution = execution
        self._context = context
        self._tools = tools
        self._fetcher = fetcher
        self._gate = gate or OpenGate()
        limits = execution.program.limits
        self._turns = asyncio.Semaphore(limits.parallel_host_calls)
        self._budget = budget or ByteBudget()
        self._progress = ProgressReports(execution)
        self.window = Window()
        self._waiting = 0
        self._most_waiting = max(LEAST_WAITING_BYTES, 2 * limits.call_bytes)

    async def perform(self, call: Call) -> tuple[bool, str] | None:
        """Make one call: whether it went well, and JSON for the program; None if it waits for a decision.

        Never raises but for cancellation. The journal has the call by the time this first waits.
        """
        limits = self._execution.program.limits
        if len(self._execution.calls) >= limits.host_calls:
            # The worker has counted already. One that lies shall not fill the record.
            return False, json.dumps(_over("host_calls", limits.host_calls, "host calls in one execution").to_json())
        record = self._record(call)
        self._execution.calls.append(record)
        self._execution.happened(CallStarted(record))
        entry = JournalledCall(call=call, record=record)
        if (journal := self._execution.journal) is not None:
            journal.called(entry)
        return await self.make(entry)

    async def make(self, entry: JournalledCall) -> tuple[bool, str] | None:
        """As `perform`, for a call that is in the journal and has no answer."""
        record = entry.record
        try:
            ok, payload = await self._bounded(entry)
        except asyncio.CancelledError:
            record.ended = time.monotonic()
            raise
        except _MustWait:
            return None
        except HostCallError as error:
            ok, payload = False, _failed(record, error)
            if error.code == "timeout":
                await self._until_over(record)
        except Exception:
            log.exception("host call %d of %s failed", record.number, self._execution.id)
            ok, payload = False, _failed(record, HostCallError("internal", "the gateway failed to make this call"))
        return await self.answer(entry, ok=ok, payload=payload)

    def repeatable(self, entry: JournalledCall) -> bool:
        """Whether a call that may have been made can be made once more, to one effect."""
        return entry.call.kind == TOOL and self._tools.repeatable(entry.call.name, self._context.session)

    def key(self, entry: JournalledCall) -> str:
        """What its upstream knows a call by, if it honours such keys."""
        return idempotency_key(self._execution.id, entry.record.number)

    async def answer(self, entry: JournalledCall, *, ok: bool, payload: str) -> tuple[bool, str]:
        """A call's answer, in the journal before the program sees it."""
        record, journal = entry.record, self._execution.journal
        record.ended = time.monotonic()
        if journal is not None:
            try:
                await journal.answered(entry, ok=ok, payload=payload)
            except StoreError as error:
                ok, payload = False, _failed(record, _not_kept(error))
                with contextlib.suppress(StoreError):
                    await journal.answered(entry, ok=ok, payload=payload)
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

    async def _bounded(self, entry: JournalledCall) -> tuple[bool, str]:
        call, record = entry.call, entry.record
        limits = self._execution.program.limits
        if len(call.payload) > limits.call_bytes:
            raise _over("call_bytes", limits.call_bytes, "bytes in one host call")
        answer = await self._in_turn(entry)
        record.http_status, record.bytes_in = answer.http_status, answer.bytes_in or len(answer.payload)
        record.egress, record.credential, record.outcome = answer.egress, answer.credential, "ok"
        if not fits(answer.payload, min(_MOST_TIMES_LARGER * limits.response_bytes, _MOST_ANSWER)):
            raise _over("response_bytes", limits.response_bytes, "bytes in one answer")
        return True, answer.payload

    async def _in_turn(self, entry: JournalledCall) -> Answer:
        """Wait among the execution's other calls, bounded in bytes; arguments are parsed when the turn has come."""
        call, record = entry.call, entry.record
        if self._waiting + len(call.payload) > self._most_waiting:
            raise _over("call_bytes", self._most_waiting, "bytes of host calls waiting at once; await earlier ones")
        if call.kind == FETCH:
            record.target, record.read_only = _describe_fetch(_parse(call))
        hold = Hold(self._budget)
        hold.take_for_call(len(call.payload), sent=False)
        self._waiting += len(call.payload)
        reset = current_hold.set(hold)
        current_call_key.set(self.key(entry))
        try:
            async with self._turns:
                left = self._context.deadline - time.monotonic()
                async with asyncio.timeout(max(0.0, left)):
                    await self.window.wait_open()
                    admitted = await self._admitted(entry, _parse(call))
                    record.began = True
                    if isinstance(admitted, Answer):
                        return admitted
                    current_call_edits.set(tuple(record.edits))
                    return await self._route(call, record, admitted)
        except TimeoutError:
            raise HostCallError("timeout", "the execution's time was over before the answer came") from None
        finally:
            current_hold.reset(reset)
            hold.release()
            self._waiting -= len(call.payload)

    async def _admitted(self, entry: JournalledCall, arguments: dict[str, Any]) -> dict[str, Any] | Answer:
        """The arguments to call with, once the call may leave and the journal says that it does.

        Of a call that is only planned, the answer.
        """
        call, record, journal = entry.call, entry.record, self._execution.journal
        if self._context.read_only:
            self._check_reads(call)
        if call.kind == TOOL:
            # What never leaves need not wait for a disk.
            self._tools.check(call.name, self._context)
        gated = GatedCall(
            execution=self._execution,
            record=record,
            kind=call.kind,
            name=call.name,
            arguments=arguments,
            context=self._context,
        )
        try:
            verdict = await self._gate.check(gated)
            match verdict:
                case Refused():
                    raise HostCallError("denied", verdict.reason, details={**verdict.details, "sent": False})
                case Planned():
                    record.planned = verdict.plan
                    return Answer(payload=verdict.payload)
                case Suspended():
                    if journal is None:
                        raise HostCallError("denied", "this call needs a decision, and there is no store to wait in")
                    journal.suspended(entry)
                    raise _MustWait
            if journal is not None:
                await journal.intended(entry, *verdict.changes)
        except StoreError as error:
            message = f"this call cannot be recorded, so it is not made: {error}; nothing was sent"
            raise HostCallError("unavailable", message, retryable=True, details={"sent": False}) from None
        return arguments if verdict.arguments is None else verdict.arguments

    async def _route(self, call: Call, record: HostCallRecord, arguments: dict[str, Any]) -> Answer:
        if call.kind == FETCH:
            rules = self._execution.program.profile.egress.digest()
            return await self._fetcher.fetch(arguments, self._context, rules)
        if call.kind == TOOL:
            progress = partial(self._progress.report, record)
            return await self._tools.call(call.name, arguments, replace(self._context, progress=progress))
        raise HostCallError("invalid_argument", f"there is no host call of kind {call.kind}")

    def _check_reads(self, call: Call) -> None:
        """Which tool is meant is settled by the next step, before anything else can run. Raises HostCallError."""
        if call.kind == TOOL and self._tools.read_only(call.name, self._context.session):
            return
        what = "fetch" if call.kind == FETCH else f"{call.name[:_MOST_TARGET]} is not known to only read; it"
        message = f"{what} is refused: this execution may only call tools that read"
        raise HostCallError("denied", message, details={"rule": "read_only", "sent": False})


def _not_kept(error: StoreError) -> HostCallError:
    message = f"the call was made, and its answer cannot be kept: {error}"
    if isinstance(error, StoreQuotaError):
        return HostCallError("limit", message, details={"limit": error.quota, "value": error.value})
    return HostCallError("internal", message)


class _MustWait(Exception):  # noqa: N818 - not a failure
    """The call waits for somebody's decision."""


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
