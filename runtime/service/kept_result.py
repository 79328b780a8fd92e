"""GetResult: a kept result, or a part of it, as a message of the API."""

import grpc

from runtime.execution.caller import tenant_of
from runtime.execution.cut import LEAST_BYTES, cut
from runtime.execution.pointer import NoSuchPartError, kind_of, part_at, range_of
from runtime.execution.results import Results
from runtime.rpc import runtime_pb2 as pb
from runtime.service.convert import omission_messages
from runtime.service.errors import ApiError, bad_fields
from sandboxes.bounded_json import MOST_ANSWER_VALUES, JsonBoundError, loads

_DEFAULT_BYTES = 4 << 20
_MOST_BYTES = 32 << 20


def kept_result(request: pb.GetResultRequest, principal: str, results: Results) -> pb.GetResultResponse:
    """What was asked for. Raises ApiError."""
    _check(request)
    kept = results.get(tenant_of(principal, request.owner.strip()), request.handle)
    if kept is None:
        message = f'there is no result "{request.handle[:80]}" of this owner, or it is forgotten'
        raise ApiError(grpc.StatusCode.NOT_FOUND, "NO_SUCH_RESULT", message)
    try:
        value = part_at(loads(kept.text, most_values=MOST_ANSWER_VALUES), request.path)
    except NoSuchPartError as error:
        raise bad_fields([("path", str(error))]) from None
    except JsonBoundError as error:
        raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "RESULT_TOO_LARGE", f"the result is {error}") from None
    part, total = range_of(value, request.offset, request.limit)
    shown = cut(part, request.most_bytes or _DEFAULT_BYTES)
    reply = pb.GetResultResponse(
        value_json=shown.text, kind=kind_of(value), total=total, omitted=omission_messages(shown.omissions)
    )
    reply.expires_at.FromNanoseconds(int(kept.expires_at * 1e9))
    return reply


def _check(request: pb.GetResultRequest) -> None:
    faults = [(field, "is required") for field in ("handle", "owner") if not getattr(request, field).strip()] + [
        (field, "is negative") for field in ("offset", "limit") if getattr(request, field) < 0
    ]
    if request.most_bytes and not LEAST_BYTES <= request.most_bytes <= _MOST_BYTES:
        faults.append(("most_bytes", f"is {request.most_bytes}; {LEAST_BYTES} to {_MOST_BYTES}, or 0"))
    if faults:
        raise bad_fields(faults)
