"""The Control service over the approvals of this gateway."""

from collections.abc import AsyncIterator
from typing import Any, Final

import grpc

from runtime.governance.approvals import MOST_BATCH, Approvals, NoSuchApprovalError
from runtime.governance.verdict import (
    MOST_APPROVER,
    MOST_REASON,
    DecisionRefusedError,
    RefusalCode,
    Said,
)
from runtime.rpc import control_pb2 as pb
from runtime.service.control_messages import STATES, approval_message
from runtime.service.errors import ApiError, bad_fields, store_failed
from runtime.service.handlers import ServicerContext
from runtime.store.errors import StoreError
from sandboxes.bounded_json import loads
from sandboxes.narrowing import MOST_EDITS

MOST_PAGE: Final = 100
DEFAULT_PAGE: Final = 50
_CODES: Final[dict[RefusalCode, grpc.StatusCode]] = {
    "OWN_REQUEST": grpc.StatusCode.PERMISSION_DENIED,
    "NOT_NARROWER": grpc.StatusCode.INVALID_ARGUMENT,
    "EDIT_TOO_EARLY": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_ALIKE": grpc.StatusCode.INVALID_ARGUMENT,
}


class ControlServicer:
    """Methods take (request, principal, context) and are named as in the proto."""

    def __init__(self, approvals: Approvals) -> None:
        self._approvals = approvals

    async def ListApprovals(  # noqa: N802, D102 - named and described in the proto
        self, request: pb.ListApprovalsRequest, principal: str, _: ServicerContext
    ) -> pb.ListApprovalsResponse:
        size = request.page_size or DEFAULT_PAGE
        if not 1 <= size <= MOST_PAGE:
            raise bad_fields([("page_size", f"is {size}; 1 to {MOST_PAGE}")])
        if request.state and request.state not in STATES:
            raise bad_fields([("state", f"there is no state {request.state}")])
        try:
            page = await self._approvals.page(
                principal,
                state=None if request.all else STATES.get(request.state, "open"),
                execution_id=request.execution_id or None,
                after=request.page_token,
                limit=size + 1,
            )
        except StoreError as error:
            raise store_failed(error) from None
        token = page[size - 1].row.id if len(page) > size else ""
        return pb.ListApprovalsResponse(
            approvals=[approval_message(each) for each in page[:size]], next_page_token=token
        )

    async def GetApproval(  # noqa: N802, D102
        self, request: pb.GetApprovalRequest, principal: str, _: ServicerContext
    ) -> pb.GetApprovalResponse:
        try:
            found = await self._approvals.find(principal, request.approval_id)
        except NoSuchApprovalError:
            raise _missing(request.approval_id) from None
        except StoreError as error:
            raise store_failed(error) from None
        return pb.GetApprovalResponse(approval=approval_message(found))

    async def Decide(  # noqa: N802, D102
        self, request: pb.DecideRequest, principal: str, _: ServicerContext
    ) -> pb.DecideResponse:
        said = _said(request)
        try:
            decided = await self._approvals.decide(principal, said)
        except NoSuchApprovalError as error:
            raise _missing(str(error)) from None
        except DecisionRefusedError as error:
            code = _CODES.get(error.code, grpc.StatusCode.FAILED_PRECONDITION)
            raise ApiError(code, error.code, str(error)) from None
        except StoreError as error:
            raise store_failed(error) from None
        return pb.DecideResponse(approvals=[approval_message(each) for each in decided])

    async def WatchApprovals(  # noqa: N802, D102
        self, _request: pb.WatchApprovalsRequest, principal: str, _: ServicerContext
    ) -> AsyncIterator[pb.WatchApprovalsEvent]:
        try:
            async for approval in self._approvals.watch(principal):
                yield pb.WatchApprovalsEvent(approval=approval_message(approval))
        except StoreError as error:
            raise store_failed(error) from None
        message = "this stream is too far behind; watch again to be told what is open now"
        raise ApiError(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_FAR_BEHIND", message)


def _said(request: pb.DecideRequest) -> list[tuple[str, Said]]:
    """The approver's words. Raises ApiError that names every field at fault."""
    faults: list[tuple[str, str]] = []
    approver, reason = request.approver.strip(), request.reason.strip()
    if not approver or not approver.isprintable():
        faults.append(("approver", "is required: the name of who decides, printable"))
    elif len(approver) > MOST_APPROVER:
        faults.append(("approver", f"has {len(approver)} characters; at most {MOST_APPROVER}"))
    if not request.approve and not reason:
        faults.append(("reason", "is required with a denial: the program is told it"))
    if len(reason) > MOST_REASON:
        faults.append(("reason", f"has {len(reason)} characters; at most {MOST_REASON}"))
    if not 1 <= len(request.items) <= MOST_BATCH:
        faults.append(("items", f"has {len(request.items)}; 1 to {MOST_BATCH}"))
    said = []
    for index, item in enumerate(request.items[:MOST_BATCH]):
        if not item.digest:
            faults.append((f"items[{index}].digest", "is required: that of what you were shown"))
        wanted = _wanted(item, f"items[{index}].edits", faults)
        word = Said(
            approver=approver,
            word="approve" if request.approve else "deny",
            digest=item.digest,
            reason=reason,
            wanted=wanted,
        )
        said.append((item.approval_id, word))
    if not request.approve and any(item.edits for item in request.items):
        faults.append(("items.edits", "go with an approval only"))
    if faults:
        raise bad_fields(faults)
    return said


def _wanted(item: pb.DecidedItem, field: str, faults: list[tuple[str, str]]) -> tuple[tuple[str, Any], ...]:
    if len(item.edits) > MOST_EDITS:
        faults.append((field, f"has {len(item.edits)} edits; at most {MOST_EDITS}"))
        return ()
    wanted = []
    for number, edit in enumerate(item.edits):
        try:
            wanted.append((edit.path, loads(edit.value_json)))
        except ValueError:
            faults.append((f"{field}[{number}].value_json", "is not JSON"))
    return tuple(wanted)


def _missing(approval_id: str) -> ApiError:
    message = f'there is no approval "{approval_id[:100]}"'
    return ApiError(grpc.StatusCode.NOT_FOUND, "NO_SUCH_APPROVAL", message)
