"""What an execution that goes on is replayed from."""

from collections.abc import Sequence

from runtime.execution.call_record import JournalledCall
from runtime.execution.execution import Execution
from runtime.isolate import Replay, ReplayedCall, ReplayMode, payload_digest
from runtime.isolate.trace import decode

MOST_AHEAD = 32 << 20
"""Characters of answers that go to the worker with the record; the rest follow as it takes them."""


def replay_of(execution: Execution) -> Replay | None:
    """The record up to now; None for one that begins, or begins anew because nothing was recorded."""
    journal = execution.journal
    if journal is None or not (journal.calls or journal.trace or execution.logs):
        return None
    cpu, active, wall = journal.clocks
    return Replay(
        mode=ReplayMode.RESUME,
        calls=replayed_calls([journal.calls[number] for number in sorted(journal.calls)]),
        trace=bytes(journal.trace),
        cpu_ns=cpu,
        active_ns=active,
        wall_ns=wall,
        log_lines=len(execution.logs),
    )


def replayed_calls(entries: Sequence[JournalledCall]) -> tuple[ReplayedCall, ...]:
    """The calls of a record as the worker compares and answers them."""
    calls, ahead = list[ReplayedCall](), 0
    for entry in entries:
        call, size = entry.call, len(entry.answer) if entry.answered else 0
        later = ahead + size > MOST_AHEAD
        ahead += 0 if later else size
        calls.append(
            ReplayedCall(
                call_id=call.call_id,
                kind=call.kind,
                name=call.name,
                digest=bytes.fromhex(entry.digest) if entry.digest else payload_digest(call.payload),
                answered=entry.answered and not later,
                ok=entry.ok,
                payload=entry.answer if entry.answered and not later else "",
                later=later,
            )
        )
    return tuple(calls)


def answers_that_follow(replay: Replay, entries: Sequence[JournalledCall]) -> list[JournalledCall]:
    """Those that did not go with the record, in the order in which the program hears them."""
    later = {call.call_id for call in replay.calls if call.later}
    if not later:
        return []
    by_id = {entry.call.call_id: entry for entry in entries if entry.call.call_id in later}
    heard = [call_id for call_id, _ in decode(replay.trace) if call_id in later]
    rest = [call_id for call_id in by_id if call_id not in heard]
    return [by_id[call_id] for call_id in (*heard, *rest)]
