"""Runtime.Replay: an ended execution run once more from its record."""

from typing import Final

import grpc

from runtime.execution.executor import Executor
from runtime.execution.image_index import ImageRetiredError
from runtime.rpc import runtime_pb2 as pb
from runtime.service.convert import log_message
from runtime.service.errors import ApiError, store_failed
from runtime.store.errors import StoreError

MOST_CODE: Final = 4 << 20


async def replayed(executor: Executor, request: pb.ReplayRequest) -> pb.ReplayResponse:
    """What differed. Raises ApiError."""
    try:
        await executor.archive.late.settled(request.execution_id)
        found = await executor.verifier.verify(request.execution_id, until=request.until, code=request.code or None)
    except StoreError as error:
        raise store_failed(error) from None
    except ImageRetiredError as error:
        raise ApiError(grpc.StatusCode.FAILED_PRECONDITION, "IMAGE_RETIRED", str(error)) from None
    except ValueError as error:
        raise ApiError(grpc.StatusCode.DATA_LOSS, "RECORD_INCOMPLETE", str(error)) from None
    except (TimeoutError, RuntimeError) as error:
        message = str(error) or "the replay took too long"
        raise ApiError(grpc.StatusCode.UNAVAILABLE, "REPLAY_FAILED", message) from None
    if found is None:
        message = "there is no record of it: it made no host call and had no idempotency key"
        raise ApiError(grpc.StatusCode.NOT_FOUND, "NO_RECORD", message)
    return pb.ReplayResponse(
        verified=not found.differences,
        calls=found.calls,
        stopped=found.stopped,
        differences=[
            pb.ReplayDifference(what=each.what, at=each.at, expected=each.expected, found=each.found)
            for each in found.differences
        ],
        logs=[log_message(line) for line in found.logs],
    )
