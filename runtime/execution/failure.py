"""Why an execution did not succeed, in words: from the host's record, and from what the program said of itself."""

from dataclasses import replace
from typing import Any, get_args

from runtime.execution.cut import json_text
from runtime.execution.execution import Execution, FailedCall, Failure
from runtime.execution.hostcall import Code
from runtime.isolate import Ending, Status
from sandboxes.bounded_json import loads
from sandboxes.limits import Limits

_ENDINGS: dict[Status, str] = {
    Status.LIMIT_CPU: "it used all the processor time it may",
    Status.LIMIT_ACTIVE: "it ran, or waited to run, for as long as it may",
    Status.LIMIT_WALL: "the time from its start is over",
    Status.LIMIT_MEMORY: "it used all the memory it may",
    Status.LIMIT_STACK: "it recursed too deeply",
    Status.LIMIT_OUTPUT: "it logged more than it may",
    Status.LIMIT_FUEL: "it used all the fuel it may",
    Status.LIMIT_RESULT: "its result is larger than it may be; return less, or only the part that is needed",
    Status.LIMIT_HOST_CALLS: "it made no end of host calls after it had made all it may",
    Status.CANCELLED: "it was cancelled",
    Status.DIVERGED: "going on, it did something else than its record says",
    Status.STOPPED: "its record ends here",
    Status.TRAPPED: "the isolate stopped for a reason the host does not know; the program may be sent again",
}

_MOST_TEXT = 16_384
_MOST_TOOL = 300
_MOST_AFTER_S = 1e6
# What a worker names is its word; only these are limits.
_LIMITS = frozenset(Limits.model_fields) | {"stack"}


def limit_failure(execution: Execution, ending: Ending, error: str = "", cancelled: str = "") -> Failure:
    """The host ended it; `error` is what the program had said by then, `cancelled` the reason it was cancelled for."""
    known = _parsed(error)
    status = ending.status
    text = cancelled if status is Status.CANCELLED and cancelled else _ENDINGS[status]
    limit = ending.limit if ending.limit in _LIMITS else ""
    source = execution.program.limit_sources.get(limit)
    set_by = f" (limit {limit} = {ending.value}, set by the {source})" if source else ""
    return Failure(
        name="Cancelled" if status is Status.CANCELLED else _limit_name(status),
        message=f"{text}{set_by}",
        line=known.line,
        column=known.column,
        source_line=known.source_line,
        stack=known.stack,
        limit=limit,
        limit_value=ending.value if limit else 0,
        side_effects_possible=execution.side_effects_possible(),
    )


def lost_failure(execution: Execution, reason: str) -> Failure:
    """Its worker died."""
    done = ", ".join(f"{call.target} ({call.outcome})" for call in execution.calls[-5:])
    what = f"its last host calls: {done}" if done else "it had made no host call and may simply be sent again"
    return Failure(
        name="Lost",
        message=f"the worker was lost: {reason}; {what}",
        side_effects_possible=execution.side_effects_possible(),
    )


def program_failure(execution: Execution, error: str) -> tuple[str, Failure]:
    """The program threw: status and failure. One host call too many has a status of its own."""
    call = _object(_object_of(error).get("call"))
    possible = execution.side_effects_possible()
    failure = replace(_parsed(error), side_effects_possible=possible, call=_failed_call(call))
    details = _object(call.get("details"))
    if call.get("code") == "limit" and details.get("limit") == "host_calls":
        return "limit_host_calls", replace(failure, limit="host_calls", limit_value=execution.program.limits.host_calls)
    return Status.PROGRAM_ERROR, failure


def error_texts(error: str) -> tuple[str, str]:
    """Name and message of a guest's error object."""
    parsed = _parsed(error)
    return parsed.name, parsed.message


def _failed_call(call: dict[str, Any]) -> FailedCall | None:
    """The call of a guest's error object, with every field checked."""
    if call.get("code") not in get_args(Code):
        return None
    tool, status, after = call.get("tool"), call.get("status"), call.get("retry_after")
    details = "" if call.get("details") is None else json_text(call["details"])
    return FailedCall(
        code=call["code"],
        tool=tool[:_MOST_TOOL].encode(errors="replace").decode() if isinstance(tool, str) else "",
        http_status=status if type(status) is int and 100 <= status <= 599 else 0,  # noqa: PLR2004 - HTTP's own
        retryable=call.get("retryable") is True,
        retry_after_s=float(after) if isinstance(after, int | float) and 0 < after < _MOST_AFTER_S else 0.0,
        details=details if len(details) <= _MOST_TEXT else "",
    )


def _limit_name(status: Status) -> str:
    return "".join(part.capitalize() for part in status.value.split("_"))


def _object_of(text: str) -> dict[str, Any]:
    try:
        return _object(loads(text))
    except ValueError:
        return {}


def _object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _parsed(text: str) -> Failure:
    """A guest's error object, with every field checked: it is the program's word."""
    error = _object_of(text)

    def string(name: str) -> str:
        value = error.get(name)
        return value[:_MOST_TEXT].encode(errors="replace").decode() if isinstance(value, str) else ""

    def number(name: str) -> int:
        value = error.get(name)
        return value if type(value) is int and 0 <= value < 2**31 else 0

    return Failure(
        name=string("name") or "Error",
        message=string("message"),
        line=number("line"),
        column=number("column"),
        source_line=string("source_line"),
        stack=string("stack"),
    )
