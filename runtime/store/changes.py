"""What `Store.write` takes. A write's changes are made together or not at all.

A change that finds the store otherwise than it says (a row that is there already, a state or an attempt that is no
longer so) refuses its whole write with StoreConflictError.
"""

from dataclasses import dataclass

from runtime.store.records import (
    ApprovalRow,
    ApprovalState,
    CallRow,
    DecisionRow,
    DeliveryRow,
    DeliveryState,
    ExecutionRow,
    ExecutionState,
    FileRow,
    LogRow,
    ProfileRow,
    ResultRow,
    SessionRow,
    SessionState,
    TraceRow,
    ValueRow,
)


@dataclass(frozen=True, slots=True)
class PutExecution:
    """A new one. A conflict if its id, or its principal's idempotency key, is there already."""

    row: ExecutionRow


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateExecution:
    """What has changed; None stays as it is. A conflict unless its `attempts` are `expect` and it has not ended."""

    id: str
    expect: int
    updated_ns: int
    state: ExecutionState | None = None
    status: str | None = None
    ended_ns: int | None = None
    expires_ns: int | None = None
    attempts: int | None = None
    outcome: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Fence:
    """Changes nothing: a conflict unless the execution's `attempts` are `expect` and it has not ended."""

    id: str
    expect: int


@dataclass(frozen=True, slots=True)
class PutProfile:
    """Kept once for each digest."""

    row: ProfileRow


@dataclass(frozen=True, slots=True)
class PutCall:
    """A host call's intent (or the whole of one, for reads told late). A conflict if its number is there already."""

    row: CallRow


@dataclass(frozen=True, kw_only=True, slots=True)
class EndCall:
    """A host call's answer. A conflict if it has one already."""

    execution_id: str
    number: int
    ended_ns: int
    ok: bool
    answer: str | None
    answer_digest: str
    record: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SuspendCall:
    """A host call waits for a human. A conflict if it has an answer."""

    execution_id: str
    number: int


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryCall:
    """A host call is made (again): an intent, as `attempt` and at `started_ns`. A conflict if it has an answer.

    `record`, unless None, takes the place of the one there (what an approver narrowed, for instance).
    """

    execution_id: str
    number: int
    attempt: int
    started_ns: int
    record: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ForgetCalls:
    """What an ended execution's calls asked, or were answered, goes; the digests stay. Its bytes go on counting."""

    execution_id: str
    payloads: bool
    answers: bool


@dataclass(frozen=True, slots=True)
class PutTrace:
    """A conflict if the part is there already."""

    row: TraceRow


@dataclass(frozen=True, slots=True)
class PutLogs:
    """A conflict if lines from that number on are there already."""

    row: LogRow


@dataclass(frozen=True, slots=True)
class PutFile:
    """A conflict if its number is there already."""

    row: FileRow


@dataclass(frozen=True, slots=True)
class PutApproval:
    """A conflict if its id is there already."""

    row: ApprovalRow


@dataclass(frozen=True, slots=True)
class PutDecision:
    """A conflict if its number is there already, or its approver has decided already."""

    row: DecisionRow


@dataclass(frozen=True, kw_only=True, slots=True)
class DecideApproval:
    """An approval from `expect` to `state`. The first wins: a conflict if it is no longer in `expect`."""

    id: str
    expect: ApprovalState = "open"
    state: ApprovalState
    decided_ns: int
    edit: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class UseApproval:
    """An approval is consumed. A conflict unless it is approved and not used yet."""

    id: str


@dataclass(frozen=True, slots=True)
class PutDelivery:
    """A conflict if its id is there already."""

    row: DeliveryRow


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateDelivery:
    """The outcome of try `attempts`. A conflict unless it waits and had one try fewer: one of two senders counts."""

    id: str
    attempts: int
    next_ns: int
    state: DeliveryState
    problem: str = ""


@dataclass(frozen=True, slots=True)
class PutSession:
    """A conflict if its id is there already, or an open one of its tenant and name."""

    row: SessionRow


@dataclass(frozen=True, kw_only=True, slots=True)
class UpdateSession:
    """A session was used, or closed. A conflict if it is not open."""

    id: str
    used_ns: int
    state: SessionState = "open"


@dataclass(frozen=True, slots=True)
class DeleteSession:
    """A session's row goes; its executions stay, until retention removes them. No conflict if there is none.

    One that another was forked from is better closed: what an open session is rebuilt from is kept.
    """

    id: str


@dataclass(frozen=True, slots=True)
class PutResult:
    """A conflict if its handle is there already."""

    row: ResultRow


@dataclass(frozen=True, kw_only=True, slots=True)
class DeleteResult:
    """No conflict if there is none."""

    tenant: str
    handle: str


@dataclass(frozen=True, slots=True)
class PutValue:
    """A value, or another in the place of one."""

    row: ValueRow


@dataclass(frozen=True, kw_only=True, slots=True)
class DeleteValue:
    """No conflict if there is none."""

    tenant: str
    session: str
    key: str


type Change = (
    PutExecution
    | UpdateExecution
    | Fence
    | PutProfile
    | PutCall
    | EndCall
    | SuspendCall
    | RetryCall
    | ForgetCalls
    | PutTrace
    | PutLogs
    | PutFile
    | PutApproval
    | PutDecision
    | DecideApproval
    | UseApproval
    | PutDelivery
    | UpdateDelivery
    | PutSession
    | UpdateSession
    | DeleteSession
    | PutResult
    | DeleteResult
    | PutValue
    | DeleteValue
)
