"""Approvals as messages of the API."""

import json
from collections.abc import Sequence

from runtime.governance.approval import Approval
from runtime.governance.approval_request import ApprovalRequest, ShownRequest
from runtime.rpc import control_pb2 as pb
from runtime.rpc import literal_request_pb2, runtime_pb2
from runtime.service.convert import ENVIRONMENT_NUMBERS
from runtime.store.records import ApprovalState, DecisionRow

STATES: dict[int, ApprovalState] = {
    pb.APPROVAL_STATE_OPEN: "open",
    pb.APPROVAL_STATE_APPROVED: "approved",
    pb.APPROVAL_STATE_DENIED: "denied",
    pb.APPROVAL_STATE_EXPIRED: "expired",
    pb.APPROVAL_STATE_VOID: "void",
    pb.APPROVAL_STATE_USED: "used",
}
_NUMBERS = {word: number for number, word in STATES.items()}


def approval_message(approval: Approval) -> pb.Approval:
    """All there is to show."""
    row, request = approval.row, approval.request
    message = pb.Approval(
        id=row.id,
        state=_NUMBERS[row.state],  # type: ignore[arg-type]
        digest=row.digest,
        execution_id=row.execution_id,
        call_number=row.call_number,
        kind=request.kind,
        tool=request.tool,
        words=request.words,
        arguments_json=json.dumps(request.arguments, ensure_ascii=False),
        request=literal_message(request.request),
        target=request.target,
        profile=request.profile,
        rule=request.rule,
        rule_reason=request.rule_reason,
        risk=request.risk,
        risk_factors=[pb.RiskFactor(weight=each.weight, reason=each.reason) for each in request.factors],
        language=request.language,
        program=[pb.ProgramLine(number=each.number, text=each.text, marked=each.marked) for each in request.program],
        program_cut=request.program_cut,
        earlier_left_out=request.earlier_left_out,
        approvers_needed=row.needed,
        decisions=_decisions(approval.decisions),
        end_reason=row.reason if row.state in {"denied", "expired", "void"} else "",
        edits_json=row.edit,
    )
    _fill(message, request)
    message.created_at.FromNanoseconds(row.created_ns)
    message.expires_at.FromNanoseconds(row.expires_ns)
    return message


def pending_message(approval: Approval) -> runtime_pb2.PendingApproval:
    """One that an execution waits for, in short."""
    request = approval.request
    target = request.tool or f"{request.request.method} {request.request.url.partition('?')[0]}"
    message = runtime_pb2.PendingApproval(
        approval_id=approval.row.id, call_number=approval.row.call_number, target=target
    )
    message.expires_at.FromNanoseconds(approval.row.expires_ns)
    return message


def _fill(message: pb.Approval, request: ApprovalRequest) -> None:
    context = message.context
    context.actor, context.owner, context.reason = request.actor, request.owner, request.reason
    context.environment = ENVIRONMENT_NUMBERS[request.environment]  # type: ignore[assignment]
    message.earlier_calls.extend(
        pb.EarlierCall(number=each.number, target=each.target, outcome=each.outcome, read_only=each.read_only)
        for each in request.earlier
    )
    if request.rollback is not None:
        message.rollback.CopyFrom(pb.RollbackPlan(tool=request.rollback.tool, arguments=request.rollback.arguments))


def literal_message(request: ShownRequest) -> literal_request_pb2.LiteralRequest:
    """A literal request, without secrets."""
    return literal_request_pb2.LiteralRequest(
        protocol=request.protocol,
        method=request.method,
        url=request.url,
        headers=[literal_request_pb2.Header(name=name, value=value) for name, value in request.headers],
        body=request.body,
        base64=request.base64,
        cut=request.cut,
    )


def _decisions(rows: Sequence[DecisionRow]) -> list[pb.ApproverDecision]:
    messages = []
    for row in rows:
        message = pb.ApproverDecision(approver=row.approver, approved=row.verdict == "approve", reason=row.reason)
        message.decided_at.FromNanoseconds(row.decided_ns)
        messages.append(message)
    return messages
