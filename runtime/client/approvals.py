"""Approvals over the gRPC API: what waits for a human, and decisions over it."""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import grpc

from runtime.rpc import control_pb2 as pb
from runtime.rpc import control_pb2_grpc


class ApprovalsClient:
    """`Client.approvals`. Methods raise grpc.aio.AioRpcError."""

    def __init__(self, channel: grpc.aio.Channel, metadata: Sequence[tuple[str, str]]) -> None:
        self._stub: control_pb2_grpc.ControlAsyncStub = control_pb2_grpc.ControlStub(channel)
        self._metadata = tuple(metadata)

    async def page(
        self, *, state: int = 0, everything: bool = False, execution_id: str = "", page_token: str = ""
    ) -> pb.ListApprovalsResponse:
        """Those in a state, open ones if it is 0, or all."""
        request = pb.ListApprovalsRequest(
            state=state,  # type: ignore[arg-type]
            all=everything,
            execution_id=execution_id,
            page_token=page_token,
        )
        return await self._stub.ListApprovals(request, metadata=self._metadata)

    async def get(self, approval_id: str) -> pb.Approval:
        """One."""
        reply = await self._stub.GetApproval(pb.GetApprovalRequest(approval_id=approval_id), metadata=self._metadata)
        return reply.approval

    async def decide(
        self,
        shown: Sequence[pb.Approval],
        *,
        approve: bool,
        approver: str,
        reason: str = "",
        edits: Mapping[str, Any] | None = None,
    ) -> Sequence[pb.Approval]:
        """Decide over approvals exactly as they were shown. `edits`: narrower values by JSON Pointer, for each one."""
        wanted = [pb.ArgumentEdit(path=path, value_json=json.dumps(value)) for path, value in (edits or {}).items()]
        items = [pb.DecidedItem(approval_id=each.id, digest=each.digest, edits=wanted) for each in shown]
        request = pb.DecideRequest(items=items, approve=approve, approver=approver, reason=reason)
        reply = await self._stub.Decide(request, metadata=self._metadata)
        return reply.approvals

    async def watch(self) -> AsyncIterator[pb.Approval]:
        """Those that are open now, then each as it is asked, decided, expired or void."""
        call = self._stub.WatchApprovals(pb.WatchApprovalsRequest(), metadata=self._metadata)
        try:
            async for event in call:
                yield event.approval
        finally:
            call.cancel()
