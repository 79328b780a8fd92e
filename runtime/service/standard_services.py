"""The standard services beside our own: health, open to anyone, and reflection, behind the token like the rest."""

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1._async import HealthServicer
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection_pb2_grpc
from grpc_reflection.v1alpha._async import ReflectionServicer
from grpc_reflection.v1alpha.reflection import SERVICE_NAME

from runtime.service.auth import Authenticator
from runtime.service.handlers import ServicerContext, check_token


class _GuardedReflection(ReflectionServicer):
    def __init__(self, names: Sequence[str], authenticator: Authenticator) -> None:
        super().__init__(names)
        self._authenticator = authenticator

    async def ServerReflectionInfo(  # type: ignore[override] # noqa: N802 - typed as if it were a coroutine
        self, request_iterator: Any, context: ServicerContext
    ) -> AsyncIterator[Any]:
        await check_token(context, self._authenticator)
        async for reply in super().ServerReflectionInfo(request_iterator, context):  # type: ignore[attr-defined]
            yield reply


async def standard_services(names: Sequence[str], authenticator: Authenticator) -> Callable[[grpc.aio.Server], None]:
    """What adds both to a server: health, SERVING for it and each of `names`, and reflection of them and itself."""
    health = HealthServicer()
    for name in ("", *names):
        await health.set(name, HealthCheckResponse.SERVING)
    reflection = _GuardedReflection((*names, "grpc.health.v1.Health", SERVICE_NAME), authenticator)

    def add(server: grpc.aio.Server) -> None:
        health_pb2_grpc.add_HealthServicer_to_server(health, server)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection, server)  # type: ignore[no-untyped-call]

    return add
