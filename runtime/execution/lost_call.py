"""Host calls that were under way when their gateway died: made again, or answered with what is known."""

import json

from runtime.execution.call_record import JournalledCall
from runtime.execution.hostcall import HostCallError


def may_be_made(entry: JournalledCall, *, repeatable: bool) -> bool:
    """Whether a call without an answer can be made, or asked about, as if for the first time.

    What had not left yet can, and what only reads, and what is `repeatable`: its upstream makes nothing twice. Of any
    other nobody knows whether it had its effect.
    """
    return entry.record.read_only or repeatable or entry.state in {"called", "suspended"}


def made_again(entry: JournalledCall) -> JournalledCall:
    """The same call, counted as made once more."""
    if entry.state == "intent":
        entry.attempt += 1
        entry.state = "called"
    return entry


def unknown_outcome(entry: JournalledCall, key: str) -> str:
    """The error object for the program; noted in the call's record. `key` is what the call was sent with."""
    target = entry.record.target
    message = (
        f"OutcomeUnknown: the service stopped while {target} was under way, and whether it had its effect is not "
        "known. It is not made again by itself; look at what is there before you repeat it"
    )
    details = {"attempt": entry.attempt, "idempotency_key": key}
    error = HostCallError("outcome_unknown", message, tool=entry.call.name or None, details=details)
    entry.record.outcome, entry.record.began = error.code, True
    return json.dumps(error.to_json())
