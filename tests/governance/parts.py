"""What the tests of approvals share: a store with one execution in it, questions, and a clock to turn."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.governance.approval_request import ApprovalRequest, ShownRequest
from runtime.governance.approvals import Approvals
from runtime.governance.verdict import Said
from runtime.store.changes import PutExecution, PutProfile
from runtime.store.records import ApprovalRow, ExecutionRow, ProfileRow
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase

NOW = 1_800_000_000_000_000_000
DIGEST = "sha256:" + "a" * 64


@dataclass
class Clock:
    now_ns: int = NOW

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Desk:
    """Approvals over a real store; what executions were told is in `decided`."""

    store: SqlStore
    approvals: Approvals
    clock: Clock
    decided: list[tuple[str, int]] = field(default_factory=list)


@asynccontextmanager
async def desk(path: Path, *, notify: bool = False) -> AsyncIterator[Desk]:
    store = SqlStore(SqliteDatabase(path / "store.sqlite"))
    await store.open()
    clock = Clock()
    decided: list[tuple[str, int]] = []
    approvals = Approvals(store, lambda execution, call: decided.append((execution, call)), notify=notify, now_ns=clock)
    try:
        await store.write(
            PutProfile(ProfileRow(digest="sha256:p", document="{}")), PutExecution(execution_row("exe_1"))
        )
        yield Desk(store=store, approvals=approvals, clock=clock, decided=decided)
    finally:
        await store.close()


def execution_row(execution_id: str, tenant: str = "local/team") -> ExecutionRow:
    return ExecutionRow(
        id=execution_id,
        tenant=tenant,
        principal=tenant.partition("/")[0],
        created_ns=NOW,
        updated_ns=NOW,
        image_digest="sha256:i",
        profile_digest="sha256:p",
        request="{}",
        seed=b"",
        start_ns=NOW,
    )


def request(**fields: Any) -> ApprovalRequest:
    given: dict[str, Any] = {
        "actor": "agent",
        "owner": "team",
        "principal": "local",
        "environment": "prod",
        "reason": "the monthly run",
        "execution": "exe_1",
        "call": 1,
        "kind": "tool",
        "tool": "ledger.transfer",
        "words": "moves money",
        "arguments": {"amount": 500, "to": ["a", "b"]},
        "request": ShownRequest(protocol="http", method="POST", url="https://ledger.example/transfers"),
        "target": "https://ledger.example",
        "profile": "p version 1",
        "binding": {},
        "rule": "money",
        "rule_reason": "moves money",
        "risk": 50,
        "language": "python",
        **fields,
    }
    return ApprovalRequest(**given)


def row(number: int = 1, **fields: Any) -> ApprovalRow:
    shown = fields.pop("shown", None) or request(call=number)
    given: dict[str, Any] = {
        "id": f"apr_{number}",
        "execution_id": "exe_1",
        "call_number": number,
        "tenant": "local/team",
        "digest": DIGEST,
        "request": shown.model_dump_json(),
        "created_ns": NOW,
        "expires_ns": NOW + 60 * 10**9,
        **fields,
    }
    return ApprovalRow(**given)


def said(approver: str = "alice", word: Any = "approve", **fields: Any) -> Said:
    return Said(approver=approver, word=word, **{"digest": DIGEST, **fields})
