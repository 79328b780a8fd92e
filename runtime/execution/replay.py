"""What an execution that goes on is replayed from."""

from runtime.execution.call_record import JournalledCall
from runtime.execution.execution import Execution
from runtime.isolate import Replay, ReplayedCall, ReplayMode, payload_digest


def replay_of(execution: Execution) -> Replay | None:
    """The record up to now; None for one that begins, or begins anew because nothing was recorded."""
    journal = execution.journal
    if journal is None or not (journal.calls or journal.trace or execution.logs):
        return None
    cpu, active, wall = journal.clocks
    return Replay(
        mode=ReplayMode.RESUME,
        calls=tuple(replayed_call(journal.calls[number]) for number in sorted(journal.calls)),
        trace=bytes(journal.trace),
        cpu_ns=cpu,
        active_ns=active,
        wall_ns=wall,
        log_lines=len(execution.logs),
    )


def replayed_call(entry: JournalledCall) -> ReplayedCall:
    """One call as the worker compares and answers it."""
    call = entry.call
    return ReplayedCall(
        call_id=call.call_id,
        kind=call.kind,
        name=call.name,
        digest=payload_digest(call.payload),
        answered=entry.answered,
        ok=entry.ok,
        payload=entry.answer if entry.answered else "",
    )
