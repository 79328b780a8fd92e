"""Approvals that a program of an MCP client waits for, put to the person at that client."""

from collections.abc import Sequence

import grpc

from runtime.client import Client
from runtime.portal.face import Requester, Waiting
from runtime.rpc import control_pb2
from runtime.rpc import runtime_pb2 as pb

_MOST_WORDS = 2_000


async def asked(client: Client, pending: Sequence[pb.PendingApproval], requester: Requester) -> bool:
    """Put every call that waits to the person at the client; whether all of them are decided now."""
    if requester.ask is None:
        return False
    for each in pending:
        approval = await client.approvals.get(each.approval_id)
        said = await requester.ask(waiting_of(approval))
        if said is None:
            return False
        approver = f"the user of mcp:{requester.client or 'unknown'}"
        try:
            (decided,) = await client.approvals.decide(
                [approval], approve=said.approved, approver=approver, reason=said.reason
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.FAILED_PRECONDITION:
                raise
            continue  # somebody else was first; what they said holds
        if decided.state == control_pb2.APPROVAL_STATE_OPEN:
            return False
    return True


def waiting_of(approval: control_pb2.Approval) -> Waiting:
    """What a person is told of it in short."""
    return Waiting(
        approval_id=approval.id,
        target=approval.tool or f"{approval.request.method} {approval.target}",
        words=f"{approval.words} with {approval.arguments_json}"[:_MOST_WORDS],
        expires_at=approval.expires_at.ToJsonString(),
    )
