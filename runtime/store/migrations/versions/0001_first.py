"""The first schema.

Revision ID: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

# A copy of runtime/store/schema.py as it was then, in its notation; a later schema has its own migration.
_INT = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TYPES: dict[str, Any] = {
    "": sa.Text().with_variant(sa.Text(collation="C"), "postgresql"),
    "int": _INT,
    "flag": sa.Boolean().with_variant(sa.Integer(), "sqlite"),
    "bytes": sa.LargeBinary(),
}
_TABLES = (
    (
        "executions",
        (
            "id tenant principal idempotency_key state status created_ns:int updated_ns:int ended_ns:int "
            "expires_ns:int image_digest profile_digest attempts:int session parent request seed:bytes "
            "start_ns:int outcome"
        ),
        ("id",),
        False,
    ),
    (
        "profiles",
        "digest document",
        ("digest",),
        True,
    ),
    (
        "calls",
        (
            "execution_id number:int call_id:int kind name payload:? payload_digest read_only:flag "
            "idempotency_key attempt:int state started_ns:int ended_ns:int ok:flag answer:? answer_digest record"
        ),
        ("execution_id", "number"),
        True,
    ),
    (
        "traces",
        "execution_id part:int data:bytes cpu_ns:int active_ns:int wall_ns:int log_lines:int",
        ("execution_id", "part"),
        True,
    ),
    (
        "logs",
        "execution_id first:int data",
        ("execution_id", "first"),
        True,
    ),
    (
        "files",
        "execution_id number:int name type sha256 data:bytes",
        ("execution_id", "number"),
        True,
    ),
    (
        "approvals",
        (
            "id execution_id call_number:int tenant state digest request created_ns:int expires_ns:int needed:int "
            "decided_ns:int edit reason"
        ),
        ("id",),
        False,
    ),
    (
        "decisions",
        "approval_id number:int approver verdict reason decided_ns:int digest",
        ("approval_id", "number"),
        True,
    ),
    (
        "deliveries",
        "id approval_id event attempts:int next_ns:int state problem",
        ("id",),
        False,
    ),
    (
        "sessions",
        "id tenant name created_ns:int used_ns:int parent forked_at state",
        ("id",),
        False,
    ),
    (
        "results",
        "handle tenant json expires_ns:int",
        ("handle",),
        False,
    ),
    (
        "session_values",
        "tenant session key value since_ns:int updated_ns:int",
        ("tenant", "session", "key"),
        True,
    ),
    (
        "holdings",
        "holder tenant bytes:int",
        ("holder",),
        True,
    ),
    (
        "heartbeat",
        "id:int at_ns:int",
        ("id",),
        False,
    ),
)
_INDEXES = (
    ("executions_key", "executions", "principal idempotency_key", "idempotency_key <> ''", True),
    ("executions_principal", "executions", "principal id", "", False),
    ("executions_unfinished", "executions", "id", "state <> 'ended'", False),
    ("executions_ended", "executions", "ended_ns", "state = 'ended'", False),
    ("executions_session", "executions", "tenant session id", "session <> ''", False),
    ("approvals_execution", "approvals", "execution_id", "", False),
    ("approvals_open", "approvals", "tenant id", "state = 'open'", False),
    ("decisions_approver", "decisions", "approval_id approver", "", True),
    ("deliveries_approval", "deliveries", "approval_id", "", False),
    ("deliveries_waiting", "deliveries", "next_ns", "state = 'waiting'", False),
    ("sessions_name", "sessions", "tenant name", "state = 'open'", True),
    ("results_expiry", "results", "expires_ns", "", False),
)


def upgrade() -> None:
    """Make everything."""
    for name, columns, key, clustered in _TABLES:
        op.create_table(
            name,
            *(_column(column, key) for column in columns.split()),
            sqlite_strict=True,
            sqlite_with_rowid=not clustered,
        )
    for name, table, columns, condition, unique in _INDEXES:
        where = sa.text(condition) if condition else None
        op.create_index(name, table, columns.split(), unique=unique, sqlite_where=where, postgresql_where=where)


def _column(text: str, key: tuple[str, ...]) -> sa.Column[Any]:
    name, _, kind = text.partition(":")
    type_, nullable = _TYPES[kind.rstrip("?")], kind.endswith("?")
    return sa.Column(name, type_, nullable=nullable, primary_key=name in key, autoincrement=False)
