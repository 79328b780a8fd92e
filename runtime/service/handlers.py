"""Registers servicers with the guard every call passes: decode, authenticate, translate errors."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from runtime.service.auth import Authenticator, authorization_of
from runtime.service.errors import ApiError

log = logging.getLogger(__name__)

type ServicerContext = grpc.aio.ServicerContext[Any, Any]
type Unary = Callable[[Any, str, ServicerContext], Awaitable[Any]]
type Streaming = Callable[[Any, str, ServicerContext], AsyncIterator[Any]]

_UNAUTHENTICATED = ApiError(
    grpc.StatusCode.UNAUTHENTICATED,
    "NO_VALID_TOKEN",
    "this call needs the metadata entry `authorization: Bearer TOKEN`; "
    "the token is in the service's state directory, in the file `token`",
)


class _Undecodable:
    """Stands for a request that is not a message of its type."""

    def __init__(self, error: str) -> None:
        self.error = error


def generic_handler(
    service: ServiceDescriptor, servicer: object, authenticator: Authenticator
) -> grpc.GenericRpcHandler:
    """All methods of `service`, each named alike on `servicer`: `(request, principal, context)` to reply or stream."""
    methods = {
        method.name: _method_handler(method, getattr(servicer, method.name), authenticator)
        for method in service.methods
    }
    return grpc.method_handlers_generic_handler(service.full_name, methods)


def _method_handler(
    method: MethodDescriptor, call: Any, authenticator: Authenticator
) -> grpc.RpcMethodHandler[Any, Any]:
    decode = GetMessageClass(method.input_type).FromString
    name = method.full_name

    def deserialize(data: bytes) -> Any:
        try:
            return decode(data)
        except DecodeError as error:
            return _Undecodable(f"the request is not a {method.input_type.full_name}: {error}")

    def serialize(message: Any) -> bytes:
        return bytes(message.SerializeToString())

    if method.client_streaming:
        return grpc.stream_stream_rpc_method_handler(
            _guard_both(call, authenticator, name), request_deserializer=deserialize, response_serializer=serialize
        )
    if method.server_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _guard_stream(call, authenticator, name), request_deserializer=deserialize, response_serializer=serialize
        )
    return grpc.unary_unary_rpc_method_handler(
        _guard_unary(call, authenticator, name), request_deserializer=deserialize, response_serializer=serialize
    )


async def check_token(context: ServicerContext, authenticator: Authenticator) -> None:
    """For services that are not ours: end the call unless it carries a valid token."""
    if authenticator.principal(authorization_of(context.invocation_metadata())) is None:
        await context.abort_with_status(_UNAUTHENTICATED.to_status())


def _check(request: Any, context: ServicerContext, authenticator: Authenticator) -> str:
    principal = authenticator.principal(authorization_of(context.invocation_metadata()))
    if principal is None:
        raise _UNAUTHENTICATED
    if isinstance(request, _Undecodable):
        raise ApiError(grpc.StatusCode.INVALID_ARGUMENT, "UNDECODABLE_REQUEST", f"{request.error}; is it UTF-8?")
    return principal


def _guard_unary(call: Unary, authenticator: Authenticator, name: str) -> Any:
    async def guarded(request: Any, context: ServicerContext) -> Any:
        try:
            return await call(request, _check(request, context, authenticator), context)
        except ApiError as error:
            await context.abort_with_status(error.to_status())
        except Exception:
            log.exception("%s failed", name)
            await context.abort_with_status(_internal(name).to_status())

    return guarded


def _guard_stream(call: Streaming, authenticator: Authenticator, name: str) -> Any:
    async def guarded(request: Any, context: ServicerContext) -> AsyncIterator[Any]:
        try:
            async for reply in call(request, _check(request, context, authenticator), context):
                yield reply
        except ApiError as error:
            await context.abort_with_status(error.to_status())
        except grpc.aio.AbortError:
            raise
        except Exception:
            log.exception("%s failed", name)
            await context.abort_with_status(_internal(name).to_status())

    return guarded


def _guard_both(call: Streaming, authenticator: Authenticator, name: str) -> Any:
    """As `_guard_stream`, where requests are a stream, too: each is checked when it is read."""

    async def guarded(requests: AsyncIterator[Any], context: ServicerContext) -> AsyncIterator[Any]:
        async def checked() -> AsyncIterator[Any]:
            async for request in requests:
                _check(request, context, authenticator)
                yield request

        async for reply in _guard_stream(call, authenticator, name)(checked(), context):
            yield reply

    return guarded


def _internal(name: str) -> ApiError:
    return ApiError(grpc.StatusCode.INTERNAL, "INTERNAL", f"{name} failed; the gateway's log says why")
