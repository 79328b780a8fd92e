"""What replies tell of an execution beside what it did: what it waits for, what it planned, how it is undone."""

import grpc

from runtime.execution.bounds import QueueFullError
from runtime.execution.caller import Caller
from runtime.execution.execution import Execution
from runtime.governance.approvals import Approvals
from runtime.rpc import runtime_pb2 as pb
from runtime.service.control_messages import pending_message
from runtime.service.errors import ApiError, bad_fields, queue_full, store_failed
from runtime.service.plan_messages import plan_messages
from runtime.service.rollbacks import Rollbacks
from runtime.store.errors import StoreError


class GovernedReply:
    """Fills messages. Methods raise ApiError where the store does not answer."""

    def __init__(self, approvals: Approvals, rollbacks: Rollbacks) -> None:
        self._approvals = approvals
        self._rollbacks = rollbacks

    async def fill(self, message: pb.Execution, execution: Execution) -> None:
        """An execution's message, for a reply."""
        message.plan.extend(plan_messages(execution.calls))
        message.pending_approvals.extend(await self.pending(execution))
        try:
            message.rollback.extend(await self._rollbacks.messages(execution))
        except StoreError as error:
            raise store_failed(error) from None

    async def pending(self, execution: Execution) -> list[pb.PendingApproval]:
        """What a paused execution waits for."""
        if execution.state != "paused":
            return []
        try:
            page = await self._approvals.page(execution.program.caller.principal, execution_id=execution.id)
        except StoreError as error:
            raise store_failed(error) from None
        return [pending_message(approval) for approval in page]

    async def over(self, execution: Execution) -> None:
        """Wait until a rollback that its end began is over, or waits for a human."""
        await self._rollbacks.over(execution)

    async def undo(self, execution: Execution, caller: Caller) -> None:
        """Roll back an execution that failed; returns when that is over, or waits. Raises ApiError."""
        if execution.program.caller.tenant != caller.tenant:
            raise bad_fields([("context.owner", "is not the owner of that execution")])
        if execution.state != "ended" or execution.status == "succeeded":
            how = "succeeded" if execution.state == "ended" else "has not ended"
            message = f"{execution.id} {how}; nothing is undone"
            raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "NOTHING_TO_UNDO", message)
        try:
            begun = await self._rollbacks.begin(execution, caller)
        except QueueFullError as error:
            raise queue_full(error) from None
        except StoreError as error:
            raise store_failed(error) from None
        if begun is not None:
            await begun.halted.wait()
