"""Sessions whose programs keep their globals, as the API tells of them: listed, closed, forked."""

import contextlib
from collections.abc import Iterator

import grpc

from runtime.execution.caller import tenant_of
from runtime.execution.kept_session import KeptSession, SessionLostError, SessionRefusedError
from runtime.execution.kept_sessions import KeptSessions
from runtime.rpc import runtime_pb2 as pb
from runtime.service.convert import LANGUAGE_NUMBERS
from runtime.service.errors import ApiError, bad_fields, store_failed
from runtime.service.requests import MOST_KEY, MOST_NAME
from runtime.store.errors import StoreError

_RETRY_S = 1.0


@contextlib.contextmanager
def as_api_errors() -> Iterator[None]:
    """What sessions and their store refuse, as the API says it."""
    try:
        yield
    except SessionRefusedError as error:
        raise _refused(error) from None
    except SessionLostError as error:
        message = f"the globals of the session are gone: {error}; close it, and its session_id begins anew"
        raise ApiError(grpc.StatusCode.DATA_LOSS, "SESSION_LOST", message) from None
    except StoreError as error:
        raise store_failed(error) from None


def _refused(error: SessionRefusedError) -> ApiError:
    message = str(error)
    refusals = (
        ApiError(grpc.StatusCode.NOT_FOUND, "NO_SUCH_SESSION", message),
        ApiError(grpc.StatusCode.NOT_FOUND, "NO_SUCH_EXECUTION", message),
        ApiError(grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS", message),
        ApiError(grpc.StatusCode.FAILED_PRECONDITION, "SESSION_OTHER_IMAGE", message),
        ApiError(grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSION_FULL", message),
        ApiError(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_SESSIONS", message),
        ApiError(grpc.StatusCode.RESOURCE_EXHAUSTED, "SESSION_BUSY", message, retry_after_s=_RETRY_S),
    )
    return next(each for each in refusals if each.reason == error.reason)


async def list_sessions(
    sessions: KeptSessions, request: pb.ListSessionsRequest, principal: str
) -> pb.ListSessionsResponse:
    """All open ones of an owner."""
    tenant = _tenant(request.owner, principal)
    with as_api_errors():
        found = await sessions.all_of(tenant)
    return pb.ListSessionsResponse(sessions=map(_message, found))


async def close_session(
    sessions: KeptSessions, request: pb.CloseSessionRequest, principal: str
) -> pb.CloseSessionResponse:
    """One is over, and its store empty."""
    tenant = _tenant(request.owner, principal)
    with as_api_errors():
        await sessions.close_with_store(await sessions.find(tenant, request.id))
    return pb.CloseSessionResponse()


async def fork_session(
    sessions: KeptSessions, request: pb.ForkSessionRequest, principal: str
) -> pb.ForkSessionResponse:
    """One goes on twice."""
    tenant = _tenant(request.owner, principal)
    if not 0 < len(request.session_id) <= MOST_KEY:
        raise bad_fields([("session_id", f"has {len(request.session_id)} characters; 1 to {MOST_KEY}")])
    with as_api_errors():
        source = await sessions.find(tenant, request.id)
        forked = await sessions.fork(source, request.session_id, request.after_execution_id)
    return pb.ForkSessionResponse(session=_message(forked))


def _tenant(owner: str, principal: str) -> str:
    if not 0 < len(owner.strip()) <= MOST_NAME:
        raise bad_fields([("owner", f"has {len(owner)} characters; 1 to {MOST_NAME}")])
    return tenant_of(principal, owner.strip())


def _message(session: KeptSession) -> pb.KeptSession:
    message = pb.KeptSession(
        id=session.id,
        session_id=session.session_id,
        language=LANGUAGE_NUMBERS[session.language],  # type: ignore[arg-type]
        programs=len(session.history),
        last_execution_id=session.history[-1] if session.history else "",
        running_execution_id=session.running.id if session.running is not None else "",
        waiting=len(session.waiting),
        memory_bytes=session.memory_bytes,
        in_memory=session.place is not None,
        parent_id=session.parent,
        lost=session.lost,
    )
    message.created_at.FromNanoseconds(session.created_ns)
    message.used_at.FromNanoseconds(session.used_ns)
    return message
