"""Each change as statements: what it does to the tables, what it is counted with, and when it is a conflict."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any, Final

from sqlalchemy import Table

from runtime.store import schema
from runtime.store.changes import (
    Change,
    DecideApproval,
    DeleteResult,
    DeleteSession,
    DeleteValue,
    EndCall,
    Fence,
    ForgetCalls,
    PutApproval,
    PutCall,
    PutDecision,
    PutDelivery,
    PutExecution,
    PutFile,
    PutLogs,
    PutProfile,
    PutResult,
    PutSession,
    PutTrace,
    PutValue,
    RetryCall,
    SuspendCall,
    UpdateDelivery,
    UpdateExecution,
    UpdateSession,
    UseApproval,
)
from runtime.store.rows import Rows, size_of
from runtime.store.statement import Statement, insertion, update

_INSERT: Final = {table.name: insertion(table) for table in schema.METADATA.tables.values()}
_GUARD = "id = :id AND attempts = :expect AND state <> 'ended'"
_FENCE = Statement.of(f"SELECT 1 FROM executions WHERE {_GUARD}")  # noqa: S608 - a text of our own
_UNANSWERED = "execution_id = :execution_id AND number = :of AND state <> 'done'"
_END_CALL = update(schema.CALLS, ("state", "ended_ns", "ok", "answer", "answer_digest", "record"), _UNANSWERED)
_SUSPEND_CALL = update(schema.CALLS, ("state",), _UNANSWERED)
_RETRY_CALL = update(schema.CALLS, ("state", "attempt", "started_ns"), _UNANSWERED)
_RETRY_CALL_WITH = update(schema.CALLS, ("state", "attempt", "started_ns", "record"), _UNANSWERED)
_FORGET_PAYLOADS = Statement.of("UPDATE calls SET payload = NULL WHERE execution_id = :execution_id")
_FORGET_ANSWERS = Statement.of("UPDATE calls SET answer = NULL WHERE execution_id = :execution_id")
_DECIDE = update(schema.APPROVALS, ("state", "decided_ns", "edit", "reason"), "id = :id AND state = :expect")
_USE = Statement.of("UPDATE approvals SET state = 'used' WHERE id = :id AND state = 'approved' RETURNING 1")
_DELIVERED = update(
    schema.DELIVERIES,
    ("attempts", "next_ns", "state", "problem"),
    "id = :id AND attempts = :expect AND state = 'waiting'",
)
_USE_SESSION = update(schema.SESSIONS, ("used_ns", "state"), "id = :id AND state = 'open'")
_DELETE_SESSION = Statement.of("DELETE FROM sessions WHERE id = :id")
_PUT_VALUE = Statement.of(
    "INSERT INTO session_values (tenant, session, key, value, since_ns, updated_ns)"
    " VALUES (:tenant, :session, :key, :value, :since_ns, :updated_ns)"
    " ON CONFLICT (tenant, session, key) DO UPDATE SET value = excluded.value, updated_ns = excluded.updated_ns"
    " RETURNING 1"
)
_VALUE_IS = "tenant = :tenant AND session = :session AND key = :key"
_VALUE = Statement.of(f"SELECT key, value FROM session_values WHERE {_VALUE_IS}")  # noqa: S608 - a text of our own
_RESULT = Statement.of("SELECT handle, tenant, json FROM results WHERE handle = :handle AND tenant = :tenant")
_DELETE_RESULT = Statement.of("DELETE FROM results WHERE handle = :handle")
_DELETE_VALUE = Statement.of(f"DELETE FROM session_values WHERE {_VALUE_IS}")  # noqa: S608 - as above


def execution_holder(execution_id: str) -> str:
    """Who holds the bytes of an execution and all that belongs to it."""
    return f"x:{execution_id}"


def result_holder(handle: str) -> str:
    """Who holds the bytes of a kept result."""
    return f"r:{handle}"


def values_holder(tenant: str, session: str) -> str:
    """Who holds the bytes of a session's values."""
    return f"v:{len(tenant)}:{tenant}:{session}"


def make(rows: Rows, change: Change) -> None:
    """One change. Raises StoreConflictError and the driver's errors."""
    _MAKERS[type(change)](rows, change)


def _put_execution(rows: Rows, change: PutExecution) -> None:
    size = rows.insert(_INSERT["executions"], change, f"an execution {change.row.id!r}, or one of its idempotency key,")
    rows.hold(execution_holder(change.row.id), size, change.row.tenant)


_FIELDS = ("state", "status", "ended_ns", "expires_ns", "attempts", "outcome")


@cache
def _update_execution(names: tuple[str, ...]) -> Statement:
    return update(schema.EXECUTIONS, ("updated_ns", *names), _GUARD)


def _change_execution(rows: Rows, change: UpdateExecution) -> None:
    names = tuple(name for name in _FIELDS if getattr(change, name) is not None)
    values = [getattr(change, name) for name in names]
    _fenced(rows, change, _update_execution(names), change.updated_ns, *values)
    if change.outcome:
        rows.hold(execution_holder(change.id), size_of((change.outcome,)))


def _fenced(rows: Rows, change: UpdateExecution | Fence, statement: Statement, *values: Any) -> None:
    problem = f"the execution {change.id!r} has ended, or attempt {change.expect} is not its last"
    rows.guarded(statement, change, problem, *values, change.id, change.expect)


def _put_profile(rows: Rows, change: PutProfile) -> None:
    rows.run(_INSERT["profiles"], change.row.digest, change.row.document)


def _put_part(table: Table, rows: Rows, change: Any) -> None:
    """A row that belongs to an execution, which has to be there."""
    row = change.row
    what = f"such a row of {table.name} of the execution {row.execution_id!r}"
    rows.hold(execution_holder(row.execution_id), rows.insert(_INSERT[table.name], change, what))


def _put(table: Table, rows: Rows, change: Any) -> None:
    """A row on its own, small and bounded in number by what it belongs to: not counted."""
    rows.insert(_INSERT[table.name], change, f"such a row of {table.name}")


def _end_call(rows: Rows, change: EndCall) -> None:
    told = (change.ended_ns, change.ok, change.answer, change.answer_digest, change.record)
    _call(rows, change, _END_CALL, "done", *told)
    rows.hold(execution_holder(change.execution_id), size_of(told))


def _suspend_call(rows: Rows, change: SuspendCall) -> None:
    _call(rows, change, _SUSPEND_CALL, "suspended")


def _forget_calls(rows: Rows, change: ForgetCalls) -> None:
    if change.payloads:
        rows.run(_FORGET_PAYLOADS, change.execution_id)
    if change.answers:
        rows.run(_FORGET_ANSWERS, change.execution_id)


def _retry_call(rows: Rows, change: RetryCall) -> None:
    told = ("intent", change.attempt, change.started_ns)
    if change.record is None:
        _call(rows, change, _RETRY_CALL, *told)
    else:
        _call(rows, change, _RETRY_CALL_WITH, *told, change.record)


def _call(rows: Rows, change: EndCall | SuspendCall | RetryCall, statement: Statement, *values: Any) -> None:
    problem = f"call {change.number} of the execution {change.execution_id!r} is not there, or has its answer"
    rows.guarded(statement, change, problem, *values, change.execution_id, change.number)


def _decide(rows: Rows, change: DecideApproval) -> None:
    problem = f"the approval {change.id!r} is not {change.expect} (any more)"
    told = (change.state, change.decided_ns, change.edit, change.reason)
    rows.guarded(_DECIDE, change, problem, *told, change.id, change.expect)


def _use(rows: Rows, change: UseApproval) -> None:
    rows.guarded(_USE, change, f"the approval {change.id!r} is not approved, or was used already", change.id)


def _delivered(rows: Rows, change: UpdateDelivery) -> None:
    problem = f"the delivery {change.id!r} does not wait for try {change.attempts}"
    told = (change.attempts, change.next_ns, change.state, change.problem)
    rows.guarded(_DELIVERED, change, problem, *told, change.id, change.attempts - 1)


def _use_session(rows: Rows, change: UpdateSession) -> None:
    problem = f"the session {change.id!r} is not open"
    rows.guarded(_USE_SESSION, change, problem, change.used_ns, change.state, change.id)


def _delete_session(rows: Rows, change: DeleteSession) -> None:
    rows.run(_DELETE_SESSION, change.id)


def _put_result(rows: Rows, change: PutResult) -> None:
    size = rows.insert(_INSERT["results"], change, "a result under this handle")
    rows.hold(result_holder(change.row.handle), size, change.row.tenant)


def _delete_result(rows: Rows, change: DeleteResult) -> None:
    found = rows.find(_RESULT, change.handle, change.tenant)
    if found:
        rows.run(_DELETE_RESULT, change.handle)
        rows.hold(result_holder(change.handle), -size_of(found[0]), change.tenant)


def _put_value(rows: Rows, change: PutValue) -> None:
    row = change.row
    freed = _value_size(rows, row.tenant, row.session, row.key)
    rows.run(_PUT_VALUE, row.tenant, row.session, row.key, row.value, row.updated_ns, row.updated_ns)
    rows.hold(values_holder(row.tenant, row.session), size_of((row.key, row.value)) - freed, row.tenant)


def _delete_value(rows: Rows, change: DeleteValue) -> None:
    freed = _value_size(rows, change.tenant, change.session, change.key)
    if freed:
        rows.run(_DELETE_VALUE, change.tenant, change.session, change.key)
        rows.hold(values_holder(change.tenant, change.session), -freed, change.tenant)


def _value_size(rows: Rows, *key: str) -> int:
    found = rows.find(_VALUE, *key)
    return size_of(found[0]) if found else 0


_MAKERS: Final[dict[type, Callable[[Rows, Any], None]]] = {
    PutExecution: _put_execution,
    UpdateExecution: _change_execution,
    Fence: lambda rows, change: _fenced(rows, change, _FENCE),
    PutProfile: _put_profile,
    PutCall: partial(_put_part, schema.CALLS),
    EndCall: _end_call,
    SuspendCall: _suspend_call,
    RetryCall: _retry_call,
    ForgetCalls: _forget_calls,
    PutTrace: partial(_put_part, schema.TRACES),
    PutLogs: partial(_put_part, schema.LOGS),
    PutFile: partial(_put_part, schema.FILES),
    PutApproval: partial(_put_part, schema.APPROVALS),
    PutDecision: partial(_put, schema.DECISIONS),
    DecideApproval: _decide,
    UseApproval: _use,
    PutDelivery: partial(_put, schema.DELIVERIES),
    UpdateDelivery: _delivered,
    PutSession: partial(_put, schema.SESSIONS),
    UpdateSession: _use_session,
    DeleteSession: _delete_session,
    PutResult: _put_result,
    DeleteResult: _delete_result,
    PutValue: _put_value,
    DeleteValue: _delete_value,
}
