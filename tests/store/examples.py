"""Rows and changes that tests of the store begin with."""

from itertools import count
from typing import Any

from runtime.store.changes import EndCall, PutCall, PutExecution, UpdateExecution
from runtime.store.records import ApprovalRow, CallRow, ExecutionRow, TraceRow

_numbers = count(1)


def execution(**changed: Any) -> ExecutionRow:
    number = next(_numbers)
    fields: dict[str, Any] = {
        "id": f"exe_{number:012x}",
        "tenant": "acme",
        "principal": "agent",
        "created_ns": number,
        "updated_ns": number,
        "image_digest": "i" * 64,
        "profile_digest": "p" * 64,
        "request": '{"code":"1 + 1"}',
        "seed": b"\x00\xff seed",
        "start_ns": 5,
    }
    return ExecutionRow(**fields | changed)


def call(of: ExecutionRow, number: int = 1, **changed: Any) -> CallRow:
    fields: dict[str, Any] = {
        "execution_id": of.id,
        "number": number,
        "call_id": number + 100,
        "kind": "tool",
        "name": "ledger.create_entry",
        "payload": '{"amount":1}',
        "payload_digest": "d" * 64,
        "read_only": False,
        "idempotency_key": f"{of.id}-{number}",
        "started_ns": 7,
        "record": '{"environment":"test"}',
    }
    return CallRow(**fields | changed)


def trace(of: ExecutionRow, part: int = 0, data: bytes = b"\x01\x00\xfe") -> TraceRow:
    return TraceRow(execution_id=of.id, part=part, data=data, cpu_ns=1, active_ns=2, wall_ns=3, log_lines=4)


def answer(to: CallRow, **changed: Any) -> EndCall:
    fields: dict[str, Any] = {
        "execution_id": to.execution_id,
        "number": to.number,
        "ended_ns": 9,
        "ok": True,
        "answer": '{"id":7}',
        "answer_digest": "a" * 64,
        "record": '{"http_status":201}',
    }
    return EndCall(**fields | changed)


def approval(of: ExecutionRow, **changed: Any) -> ApprovalRow:
    fields: dict[str, Any] = {
        "id": f"apr_{next(_numbers):012x}",
        "execution_id": of.id,
        "call_number": 1,
        "tenant": of.tenant,
        "digest": "d" * 64,
        "request": '{"actor":"agent"}',
        "created_ns": 1,
        "expires_ns": 100,
    }
    return ApprovalRow(**fields | changed)


def begun(of: ExecutionRow, *calls: CallRow) -> tuple[PutExecution | PutCall, ...]:
    """What makes an execution durable: itself, and its first calls."""
    return (PutExecution(of), *map(PutCall, calls))


def ended(of: ExecutionRow, at_ns: int) -> UpdateExecution:
    fields: dict[str, Any] = {"state": "ended", "status": "OK", "ended_ns": at_ns, "outcome": '{"result":2}'}
    return UpdateExecution(id=of.id, expect=of.attempts, updated_ns=at_ns, **fields)
