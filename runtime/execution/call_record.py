"""A host call as it is kept in the store, and read from there again."""

import hashlib
import json
import time
from dataclasses import dataclass

from runtime.execution.execution import HostCallRecord
from runtime.store.changes import Change, EndCall, PutCall, RetryCall, SuspendCall
from runtime.store.records import CallRow, CallState
from runtime.worker.frames import Call

_NAMED = ("kind", "target")
_DETAILS = (
    "outcome",
    "http_status",
    "bytes_out",
    "bytes_in",
    "egress",
    "credential",
    "began",
    "never_sent",
    "approval",
    "edits",
    "planned",
)
_NOTHING_YET = HostCallRecord(number=0, kind="tool", target="", started=0.0)


@dataclass(kw_only=True, slots=True)
class JournalledCall:
    """One host call: what the program asked, how the host made it, and what the program was answered.

    `state`: made by the program (called), about to leave for its upstream (intent), waiting for a decision (suspended),
    answered (done). `digest` is that of the arguments, where they are not kept. `stored` is the state the store knows,
    `stored_attempt` with it; None if it knows nothing.
    """

    call: Call
    record: HostCallRecord
    state: CallState = "called"
    attempt: int = 1
    ok: bool = False
    answer: str = ""
    digest: str = ""
    stored: CallState | None = None
    stored_attempt: int = 0

    @property
    def answered(self) -> bool:
        """Whether the program has its answer, or could have taken it."""
        return self.state == "done"

    def changes(self, execution_id: str) -> list[Change]:
        """What the store does not know yet."""
        if self.stored is None:
            return [PutCall(self._row(execution_id))]
        number = self.record.number
        if self.state == "done" and self.stored != "done":
            return [
                EndCall(
                    execution_id=execution_id,
                    number=number,
                    ended_ns=_wall_ns(self.record.ended),
                    ok=self.ok,
                    answer=self.answer,
                    answer_digest=text_digest(self.answer),
                    record=self._details(),
                )
            ]
        if self.state == "suspended" and self.stored != "suspended":
            return [SuspendCall(execution_id=execution_id, number=number)]
        if self.state == "intent" and (self.stored != "intent" or self.stored_attempt != self.attempt):
            started = _wall_ns(self.record.started)
            return [RetryCall(execution_id=execution_id, number=number, attempt=self.attempt, started_ns=started)]
        return []

    def is_stored(self, state: CallState, attempt: int) -> None:
        """The store knows it now in this state."""
        self.stored, self.stored_attempt = state, attempt

    def _row(self, execution_id: str) -> CallRow:
        record = self.record
        return CallRow(
            execution_id=execution_id,
            number=record.number,
            call_id=self.call.call_id,
            kind=str(self.call.kind),
            name=self.call.name,
            payload=self.call.payload,
            payload_digest=text_digest(self.call.payload),
            read_only=record.read_only,
            idempotency_key=idempotency_key(execution_id, record.number),
            attempt=self.attempt,
            state=self.state,
            started_ns=_wall_ns(record.started),
            ended_ns=_wall_ns(record.ended) if self.answered else 0,
            ok=self.ok,
            answer=self.answer if self.answered else None,
            answer_digest=text_digest(self.answer) if self.answered else "",
            record=self._details(),
        )

    def _details(self) -> str:
        """What has become of it so far. What is as at the beginning is left out: most of it, when the call is made."""
        record = self.record
        found = {name: getattr(record, name) for name in _NAMED}
        for name in _DETAILS:
            if (value := getattr(record, name)) != getattr(_NOTHING_YET, name):
                found[name] = value
        return json.dumps(found, separators=(",", ":"))


def journalled_call(row: CallRow) -> JournalledCall:
    """The inverse of `JournalledCall.changes`. Raises ValueError for a record of another kind."""
    try:
        record = HostCallRecord(
            number=row.number,
            read_only=row.read_only,
            started=monotonic_of(row.started_ns),
            ended=monotonic_of(row.ended_ns) if row.ended_ns else 0.0,
            **json.loads(row.record),
        )
    except TypeError as error:
        raise ValueError(f"this is not the record of a host call: {error}") from error
    return JournalledCall(
        call=Call(row.call_id, int(row.kind), row.name, row.payload or ""),
        record=record,
        state=row.state,
        attempt=row.attempt,
        ok=row.ok,
        answer=row.answer or "",
        digest=row.payload_digest,
        stored=row.state,
        stored_attempt=row.attempt,
    )


def text_digest(text: str) -> str:
    """SHA-256 of a text in UTF-8, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def idempotency_key(execution_id: str, number: int) -> str:
    """What an upstream that honours such keys knows one call by, however often it is sent."""
    return f"{execution_id}-{number}"


def _wall_ns(moment: float) -> int:
    """A moment of the monotonic clock as Unix nanoseconds."""
    return time.time_ns() - int((time.monotonic() - moment) * 1e9)


def monotonic_of(moment_ns: int) -> float:
    """The inverse of `_wall_ns`."""
    return time.monotonic() - (time.time_ns() - moment_ns) / 1e9
