"""What one approver's word does to a question: pure, so that every refusal can be told apart and tested.

Security boundary. Nothing else makes an approval approved.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from runtime.governance.approval_request import ApprovalRequest
from runtime.store.changes import Change, DecideApproval, PutDecision
from runtime.store.records import ApprovalRow, DecisionRow
from sandboxes.narrowing import MOST_EDITS, Edit, NotNarrowerError, edit_of, edits_json, narrowed

type Word = Literal["approve", "deny"]
type RefusalCode = Literal[
    "ALREADY_DECIDED", "APPROVAL_EXPIRED", "ANOTHER_DIGEST", "OWN_REQUEST", "DECIDED_BEFORE", "NOT_NARROWER",
    "EDIT_TOO_EARLY", "EXECUTION_OVER", "NOT_ALIKE",
]  # fmt: skip
MOST_APPROVER: Final = 256
MOST_REASON: Final = 2_000


class DecisionRefusedError(Exception):
    """A decision that does not count; `code` is for programs, the text for people."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.code: RefusalCode = code


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """One approver's word on one approval. `digest` is that of what they were shown.

    `wanted` are narrower values by JSON Pointer into the arguments.
    """

    approver: str
    word: Word
    digest: str
    reason: str = ""
    wanted: tuple[tuple[str, Any], ...] = field(default=())


def judge(
    row: ApprovalRow, earlier: Sequence[DecisionRow], request: ApprovalRequest, said: Said, now_ns: int
) -> tuple[Change, ...]:
    """What to write, of which all has to succeed. Raises DecisionRefusedError."""
    _check_open(row, earlier, now_ns)
    if said.digest != row.digest:
        raise DecisionRefusedError(
            "ANOTHER_DIGEST", f"{row.id} has the digest {row.digest}; what you were shown is not what would be done"
        )
    if any(_same(said.approver, each.approver) for each in earlier):
        raise DecisionRefusedError("DECIDED_BEFORE", f"{said.approver} has decided over {row.id} before")
    decision = PutDecision(
        DecisionRow(
            approval_id=row.id,
            number=len(earlier) + 1,
            approver=said.approver,
            verdict=said.word,
            reason=said.reason,
            decided_ns=now_ns,
            digest=said.digest,
        )
    )
    if said.word == "deny":
        return (decision, DecideApproval(id=row.id, state="denied", decided_ns=now_ns, reason=said.reason))
    _check_other(request, said)
    last = 1 + sum(each.verdict == "approve" for each in earlier) >= row.needed
    edits = _edits(request, said)
    if edits and not last:
        raise DecisionRefusedError(
            "EDIT_TOO_EARLY", f"{row.id} needs {row.needed} approvers; only the last may narrow what all agreed to"
        )
    if not last:
        return (decision,)
    approved = DecideApproval(
        id=row.id, state="approved", decided_ns=now_ns, edit=edits_json(edits), reason=said.reason
    )
    return (decision, approved)


def is_asker(approver: str, request: ApprovalRequest) -> bool:
    """Whether an approver is the one who asked, or answers for them, however the name is spelt."""
    return _same(approver, request.actor) or _same(approver, request.owner)


def _check_open(row: ApprovalRow, earlier: Sequence[DecisionRow], now_ns: int) -> None:
    if row.state == "expired" or (row.state == "open" and now_ns >= row.expires_ns):
        raise DecisionRefusedError("APPROVAL_EXPIRED", f"{row.id} has expired undecided; the call is refused")
    if row.state == "void":
        raise DecisionRefusedError("ALREADY_DECIDED", f"{row.id} is void: {row.reason}")
    if row.state != "open":
        who = ", ".join(f"{each.approver} ({each.verdict})" for each in earlier) or "somebody"
        raise DecisionRefusedError("ALREADY_DECIDED", f"{row.id} is {row.state} already, by {who}")


def _check_other(request: ApprovalRequest, said: Said) -> None:
    if is_asker(said.approver, request) and not request.self_approval:
        raise DecisionRefusedError(
            "OWN_REQUEST", f"{said.approver} asked for this call, or answers for who did; somebody else has to approve"
        )


def _edits(request: ApprovalRequest, said: Said) -> tuple[Edit, ...]:
    """Checked against what was shown; against what is sent they are checked again when it is."""
    if len(said.wanted) > MOST_EDITS:
        raise DecisionRefusedError("NOT_NARROWER", f"{len(said.wanted)} edits; at most {MOST_EDITS}")
    try:
        edits = tuple(edit_of(request.arguments, path, wanted) for path, wanted in said.wanted)
        narrowed(request.arguments, edits)
    except NotNarrowerError as error:
        raise DecisionRefusedError("NOT_NARROWER", str(error)) from None
    return edits


def _same(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


def _plain(name: str) -> str:
    """Without case, width, accents composed one way or the other, and white space."""
    return "".join(unicodedata.normalize("NFKC", name).casefold().split())
