"""What the store keeps, row by row. Times are Unix nanoseconds, UTC; 0 for "not yet". JSON is kept as text.

Callers bound what they put in. Any text is kept as it is, NUL and lone surrogates included.
"""

from dataclasses import dataclass
from typing import Literal

type ExecutionState = Literal["running", "paused", "ended"]
type CallState = Literal["called", "intent", "suspended", "done"]
type ApprovalState = Literal["open", "approved", "denied", "expired", "void", "used"]
type SessionState = Literal["open", "closed"]
type DeliveryState = Literal["waiting", "delivered", "given up"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionHead:
    """How an execution stands, without what is large: see ExecutionRow.

    `idempotency_key` is unique beside its principal unless empty. `attempts` fences: every gateway that takes the
    execution over raises it, and a writer that names an older one is refused. `session`, the id or the name of one, and
    `parent`, an execution's id, may be empty.
    `status` is the name of the API's status; empty while it runs.
    """

    id: str
    tenant: str
    principal: str
    idempotency_key: str = ""
    state: ExecutionState = "running"
    status: str = ""
    created_ns: int
    updated_ns: int
    ended_ns: int = 0
    expires_ns: int = 0
    image_digest: str
    profile_digest: str
    attempts: int = 1
    session: str = ""
    parent: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutionRow(ExecutionHead):
    """An execution. `request` is JSON: all of the accepted program. `start_ns` is its guest's clock at the start.

    `outcome` is JSON: of one that ended result, failure, usage and what was cut; of one that is paused and waits for a
    timer, too, when it wakes; else empty.
    """

    request: str
    seed: bytes
    start_ns: int
    outcome: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class WakingRow:
    """A paused execution that waits for a timer, too: as much of its row as tells when."""

    id: str
    outcome: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ProfileRow:
    """A profile as it was when an execution began under it; known by its digest."""

    digest: str
    document: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CallRow:
    """A host call. `number` counts from 1 in the order of submission; `call_id` is the guest's.

    `payload` is the arguments' JSON, None once retention dropped it; the digest stays. `answer` is JSON, None until it
    is there (or once dropped). `record` is JSON: HTTP status, the egress proxy's words, outcome code, bytes.
    """

    execution_id: str
    number: int
    call_id: int
    kind: str
    name: str
    payload: str | None
    payload_digest: str
    read_only: bool
    idempotency_key: str = ""
    attempt: int = 1
    state: CallState = "intent"
    started_ns: int
    ended_ns: int = 0
    ok: bool = False
    answer: str | None = None
    answer_digest: str = ""
    record: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class TraceRow:
    """A part of what the guest heard, in order from 0. The clocks and the count of log lines are cumulative."""

    execution_id: str
    part: int
    data: bytes
    cpu_ns: int = 0
    active_ns: int = 0
    wall_ns: int = 0
    log_lines: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class LogRow:
    """Log lines in a row. `first` is the number of the first of them; `data` a JSON array."""

    execution_id: str
    first: int
    data: str


@dataclass(frozen=True, kw_only=True, slots=True)
class FileRow:
    """A file that a program emitted, in order from 1."""

    execution_id: str
    number: int
    name: str
    type: str
    sha256: str
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class ApprovalRow:
    """A question to a human about one host call. `request` is JSON, what is shown; a decision binds to `digest`.

    `needed` is how many approvers it takes; `edit` is JSON of the narrowed arguments, or empty.
    """

    id: str
    execution_id: str
    call_number: int
    tenant: str
    state: ApprovalState = "open"
    digest: str
    request: str
    created_ns: int
    expires_ns: int
    needed: int = 1
    decided_ns: int = 0
    edit: str = ""
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class DecisionRow:
    """What one approver said, in order from 1; each says one thing. `verdict` is the caller's word."""

    approval_id: str
    number: int
    approver: str
    verdict: str
    reason: str = ""
    decided_ns: int
    digest: str


@dataclass(frozen=True, kw_only=True, slots=True)
class DeliveryRow:
    """A message about an approval that a webhook is to hear; tried again at `next_ns` while it waits."""

    id: str
    approval_id: str
    event: str
    attempts: int = 0
    next_ns: int
    state: DeliveryState = "waiting"
    problem: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionRow:
    """A session; of a tenant's open ones no two have one name.

    A fork has a `parent`, a session's id, and `forked_at`, the id of the execution after which it went its own way.
    """

    id: str
    tenant: str
    name: str
    created_ns: int
    used_ns: int
    parent: str = ""
    forked_at: str = ""
    state: SessionState = "open"


@dataclass(frozen=True, kw_only=True, slots=True)
class ResultRow:
    """A whole result that was told only in part, under a handle, until it expires."""

    handle: str
    tenant: str
    json: str
    expires_ns: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ValueRow:
    """A value that a session's programs keep, by key. `value` is JSON."""

    tenant: str
    session: str
    key: str
    value: str
    updated_ns: int


type Row = (
    ExecutionRow
    | ProfileRow
    | CallRow
    | TraceRow
    | LogRow
    | FileRow
    | ApprovalRow
    | DecisionRow
    | DeliveryRow
    | SessionRow
    | ResultRow
    | ValueRow
)
