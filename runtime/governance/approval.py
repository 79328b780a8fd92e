"""One question and how it stands, put together from its rows."""

import secrets
import time
from dataclasses import dataclass

from runtime.governance.approval_request import ApprovalRequest
from runtime.store.records import ApprovalRow, DecisionRow


def new_approval_id() -> str:
    """`apr_`, then the time in milliseconds and 80 random bits, in hexadecimal: unguessable, and sorted by time."""
    return f"apr_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Approval:
    """A row, what it shows, and what has been said of it so far."""

    row: ApprovalRow
    request: ApprovalRequest
    decisions: tuple[DecisionRow, ...] = ()

    @classmethod
    def of(cls, row: ApprovalRow, decisions: tuple[DecisionRow, ...] = ()) -> "Approval":
        """From the store's rows. Raises ValueError for a request of another form."""
        return cls(row=row, request=ApprovalRequest.model_validate_json(row.request), decisions=decisions)
