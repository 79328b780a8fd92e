"""How an execution ended, or when a paused one wakes, as it is kept in the store, and read from there again."""

import contextlib
import json
from dataclasses import asdict
from typing import Any

from runtime.execution.cut import Omission
from runtime.execution.execution import Execution, FailedCall, Failure, ResultCut
from runtime.isolate import Usage


def outcome_json(execution: Execution) -> str:
    """Result or failure, what was used, and what was left out of the result."""
    return json.dumps(
        {
            "status": execution.status,
            "result": execution.result,
            "failure": _plain(execution.failure),
            "usage": _plain(execution.usage),
            "cut": _plain(execution.cut),
            "missing_walls": dict(execution.missing_walls),
            "outcome_unknown": execution.outcome_unknown,
            "position": execution.position if execution.in_session else 0,
        }
    )


def waking_json(due_ns: int) -> str:
    """When a paused execution wakes by itself, Unix nanoseconds; empty if it does not."""
    return json.dumps({"due_ns": due_ns}) if due_ns else ""


def due_ns_of(text: str) -> int:
    """As `waking_json` was told it; 0 for a record of another kind, since a decision wakes it all the same."""
    with contextlib.suppress(ValueError):
        match json.loads(text):
            case {"due_ns": int(due_ns)}:
                return due_ns
    return 0


def put_outcome(execution: Execution, text: str) -> None:
    """Give a restored execution the end it had. Raises ValueError for a record of another kind."""
    try:
        record = json.loads(text)
        execution.status = record["status"]
        execution.result = record["result"]
        execution.failure = _failure(record["failure"])
        execution.usage = None if record["usage"] is None else Usage(**record["usage"])
        execution.cut = _cut(record["cut"])
        execution.missing_walls = record["missing_walls"]
        execution.outcome_unknown = record["outcome_unknown"]
        execution.position = execution.kept = record.get("position", 0)
    except (KeyError, TypeError) as error:
        raise ValueError(f"this is not the record of an execution's end: {error}") from error


def _plain(value: Any) -> dict[str, Any] | None:
    return None if value is None else asdict(value)


def _failure(record: dict[str, Any] | None) -> Failure | None:
    if record is None:
        return None
    call = record.pop("call")
    return Failure(**record, call=None if call is None else FailedCall(**call))


def _cut(record: dict[str, Any] | None) -> ResultCut | None:
    if record is None:
        return None
    omissions = tuple(Omission(**each) for each in record.pop("omissions"))
    return ResultCut(**record, omissions=omissions)
