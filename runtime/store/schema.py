"""The tables, one for each record. Migrations make them; statements and reads are compiled from them."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, MetaData, Table, Text, text

VERSION: Final = "0001"
"""The migration that makes the schema as it is here."""

METADATA = MetaData()

# In the order of its bytes, as SQLite does it, whatever the language of a PostgreSQL database.
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")
_INT = BigInteger().with_variant(Integer(), "sqlite")
_FLAG = Boolean().with_variant(Integer(), "sqlite")


def _table(name: str, columns: str, *, key: Sequence[str], clustered: bool = False) -> Table:
    """`columns`: names, each with its type after a colon; text without. `clustered`: SQLite keeps rows by their key."""
    made: list[Column[Any]] = []
    for column in columns.split():
        label, _, kind = column.partition(":")
        nullable = kind.endswith("?")
        type_: Any = {"": _TEXT, "int": _INT, "flag": _FLAG, "bytes": LargeBinary()}[kind.rstrip("?")]
        made.append(Column(label, type_, nullable=nullable, primary_key=label in key, autoincrement=False))
    return Table(name, METADATA, *made, sqlite_strict=True, sqlite_with_rowid=not clustered)


EXECUTIONS = _table(
    "executions",
    "id tenant principal idempotency_key state status created_ns:int updated_ns:int ended_ns:int expires_ns:int"
    " image_digest profile_digest attempts:int session parent request seed:bytes start_ns:int outcome",
    key=("id",),
)
PROFILES = _table("profiles", "digest document", key=("digest",), clustered=True)
CALLS = _table(
    "calls",
    "execution_id number:int call_id:int kind name payload:? payload_digest read_only:flag idempotency_key attempt:int"
    " state started_ns:int ended_ns:int ok:flag answer:? answer_digest record",
    key=("execution_id", "number"),
    clustered=True,
)
TRACES = _table(
    "traces",
    "execution_id part:int data:bytes cpu_ns:int active_ns:int wall_ns:int log_lines:int",
    key=("execution_id", "part"),
    clustered=True,
)
LOGS = _table("logs", "execution_id first:int data", key=("execution_id", "first"), clustered=True)
FILES = _table(
    "files", "execution_id number:int name type sha256 data:bytes", key=("execution_id", "number"), clustered=True
)
APPROVALS = _table(
    "approvals",
    "id execution_id call_number:int tenant state digest request created_ns:int expires_ns:int needed:int"
    " decided_ns:int edit reason",
    key=("id",),
)
DECISIONS = _table(
    "decisions",
    "approval_id number:int approver verdict reason decided_ns:int digest",
    key=("approval_id", "number"),
    clustered=True,
)
DELIVERIES = _table("deliveries", "id approval_id event attempts:int next_ns:int state problem", key=("id",))
SESSIONS = _table("sessions", "id tenant name created_ns:int used_ns:int parent forked_at state", key=("id",))
RESULTS = _table("results", "handle tenant json expires_ns:int", key=("handle",))
VALUES = _table(
    "session_values",
    "tenant session key value since_ns:int updated_ns:int",
    key=("tenant", "session", "key"),
    clustered=True,
)
HOLDINGS = _table("holdings", "holder tenant bytes:int", key=("holder",), clustered=True)
"""Bytes by who holds them: an execution with all that belongs to it, a kept result, a session's values."""
HEARTBEAT = _table("heartbeat", "id:int at_ns:int", key=("id",))
"""One row, written to learn whether the store takes writes again."""

_KEYED = text("idempotency_key <> ''")
_UNFINISHED = text("state <> 'ended'")
_ENDED = text("state = 'ended'")
_IN_SESSION = text("session <> ''")
_OPEN = text("state = 'open'")
_WAITING = text("state = 'waiting'")


def _index(name: str, *columns: Column[Any], where: Any = None, unique: bool = False) -> None:
    """Partial where `where` is given: most executions are in none of these."""
    Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


_index("executions_key", EXECUTIONS.c.principal, EXECUTIONS.c.idempotency_key, where=_KEYED, unique=True)
_index("executions_principal", EXECUTIONS.c.principal, EXECUTIONS.c.id)
_index("executions_unfinished", EXECUTIONS.c.id, where=_UNFINISHED)
_index("executions_ended", EXECUTIONS.c.ended_ns, where=_ENDED)
_index("executions_session", EXECUTIONS.c.tenant, EXECUTIONS.c.session, EXECUTIONS.c.id, where=_IN_SESSION)
_index("approvals_execution", APPROVALS.c.execution_id)
_index("approvals_open", APPROVALS.c.tenant, APPROVALS.c.id, where=_OPEN)
_index("decisions_approver", DECISIONS.c.approval_id, DECISIONS.c.approver, unique=True)
_index("deliveries_approval", DELIVERIES.c.approval_id)
_index("deliveries_waiting", DELIVERIES.c.next_ns, where=_WAITING)
_index("sessions_name", SESSIONS.c.tenant, SESSIONS.c.name, where=_OPEN, unique=True)
_index("results_expiry", RESULTS.c.expires_ns)
