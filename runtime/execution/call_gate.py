"""Whether a host call may be made now: the question asked after its arguments are known and before it leaves."""

from dataclasses import dataclass
from typing import Any, Protocol

from runtime.execution.execution import Execution, HostCallRecord
from runtime.execution.hostcall import CallContext
from runtime.store.changes import Change


@dataclass(frozen=True, kw_only=True, slots=True)
class GatedCall:
    """A host call that is about to leave. `kind` is that of the guest interface; `name` a tool's, empty for a fetch."""

    execution: Execution
    record: HostCallRecord
    kind: int
    name: str
    arguments: dict[str, Any]
    context: CallContext


@dataclass(frozen=True, kw_only=True, slots=True)
class Passed:
    """It may leave, with other arguments if `arguments` says so.

    `changes` are written in one with the call's intent: a decision that serves once is used up with it. If they
    conflict, somebody else was first and the call is refused.
    """

    arguments: dict[str, Any] | None = None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Refused:
    """It may not leave; the program is told why, and can act on it. `details` is JSON for the program."""

    reason: str
    details: dict[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Suspended:
    """Somebody has to decide first. The execution pauses; `Executor.decided` makes the call be asked about again.

    Asked again without a decision, after a restart say, the answer names the same approval.
    """

    approval_id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Planned:
    """A dry run: it does not leave. `plan` is JSON of what would have, `payload` the program's answer in its place."""

    plan: str
    payload: str


type Verdict = Passed | Refused | Suspended | Planned


class CallGate(Protocol):
    """Where calls are asked about."""

    async def check(self, call: GatedCall) -> Verdict:
        """May it leave? Raises StoreUnavailableError when that cannot be told now; then it does not."""
        ...


class OpenGate:
    """Lets every call pass, but of a dry run none: nobody here can tell what a call would do."""

    async def check(self, call: GatedCall) -> Verdict:
        """Pass."""
        if call.execution.program.dry_run:
            return Refused(reason="this service cannot tell what a call would do; nothing was sent", details={})
        return Passed()
