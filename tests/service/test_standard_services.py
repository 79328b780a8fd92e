"""Health for anyone, reflection for who has the token."""

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from tests.cell import TestCell


@pytest.mark.parametrize("service", ["", "lockgate.v1.Runtime", "lockgate.v1.Portal"])
async def test_health_needs_no_token(cell: TestCell, service):
    async with grpc.aio.insecure_channel(cell.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        reply = await stub.Check(health_pb2.HealthCheckRequest(service=service))
    assert reply.status == health_pb2.HealthCheckResponse.SERVING


async def test_reflection_lists_the_services(cell: TestCell):
    names = await services(cell, (("authorization", f"Bearer {cell.token}"),))
    assert {"lockgate.v1.Runtime", "lockgate.v1.Portal", "grpc.health.v1.Health"} <= names


async def test_reflection_needs_a_token(cell: TestCell):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await services(cell, ())
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


async def services(cell: TestCell, metadata) -> set[str]:
    async with grpc.aio.insecure_channel(cell.address) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        call = stub.ServerReflectionInfo(metadata=metadata)
        await call.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        reply = await call.read()
        if reply is grpc.aio.EOF:
            await call.code()
        await call.done_writing()
        return {service.name for service in reply.list_services_response.service}
