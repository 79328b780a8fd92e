"""Bad input gets a clear error, names the field, and leaves the service running."""

import time

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from runtime.client import Client
from runtime.rpc import portal_pb2, runtime_pb2
from runtime.rpc import runtime_pb2 as pb
from tests.cell import TestCell
from tests.service.programs import request, run

SERVICES = [runtime_pb2.DESCRIPTOR.services_by_name["Runtime"], portal_pb2.DESCRIPTOR.services_by_name["Portal"]]
METHODS = [f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods]
STREAMS = {"/lockgate.v1.Runtime/ExecuteStream"}


def details(error: grpc.RpcError, kind):
    """The detail of a google.rpc.Status of one kind, or None."""
    status = next(
        status_pb2.Status.FromString(value)
        for key, value in error.trailing_metadata()
        if key == "grpc-status-details-bin"
    )
    for detail in status.details:
        message = kind()
        if detail.Unpack(message):
            return message
    return None


async def refused(client: Client, message: pb.ExecuteRequest) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.execute(message)
    assert (await run(client, "1 + 1")).result_json == "2"
    return caught.value


def fields(error: grpc.aio.AioRpcError) -> dict[str, str]:
    bad = details(error, error_details_pb2.BadRequest)
    return {violation.field: violation.description for violation in bad.field_violations}


@pytest.mark.parametrize("field", ["actor", "owner", "environment", "reason", "expires_at"])
async def test_a_missing_context_field_is_named(client: Client, field):
    message = request("1")
    message.context.ClearField(field)
    error = await refused(client, message)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert list(fields(error)) == [f"context.{field}"]
    assert "is required" in error.details()


async def test_every_fault_is_named_at_once(client: Client):
    error = await refused(client, pb.ExecuteRequest())
    assert set(fields(error)) == {
        "context.actor", "context.owner", "context.environment", "context.reason", "context.expires_at",
        "profile", "code",
    }  # fmt: skip


BAD = {
    "empty program": ({"code": "  \n"}, "code", "is empty"),
    "NUL": ({"code": "1\0"}, "code", "NUL"),
    "unknown profile": ({"profile": "nope"}, "profile", 'there is no profile "nope"; there are'),
    "inputs": ({"inputs_json": "{"}, "inputs_json", "is not JSON"),
    "deep inputs": ({"inputs_json": "[" * 200_000}, "inputs_json", "nested more than 500 deep"),
    "long key": ({"idempotency_key": "x" * 129}, "idempotency_key", "129 characters; at most 128"),
    "unknown limit": ({"limits": {"cpu": 1}}, "limits", 'no limit "cpu"'),
    "wider limit": ({"limits": {"cpu_ms": 401}}, "limits", "401 is more than 400"),
    "limit below the least": ({"limits": {"cpu_ms": 0}}, "limits", "greater than or equal to 1"),
}


@pytest.mark.parametrize(("changes", "field", "text"), BAD.values(), ids=BAD)
async def test_a_bad_field_is_named_with_what_is_wrong(client: Client, changes, field, text):
    message = request("1")
    message.MergeFrom(pb.ExecuteRequest(**changes))
    error = await refused(client, message)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert text in fields(error)[field]


async def test_an_unknown_language_is_named(client: Client):
    message = request("1")
    message.language = 99
    error = await refused(client, message)
    assert "there is no language 99" in fields(error)["language"]


async def test_five_megabytes_of_source_are_refused_with_the_limit(client: Client):
    error = await refused(client, request("//" + "x" * 5_000_000))
    assert "5000002 bytes; limit source_bytes is 262144" in fields(error)["code"]


async def test_a_context_that_has_expired_is_refused(client: Client):
    message = request("1")
    message.context.expires_at.FromSeconds(int(time.time()) - 1)
    assert "must lie in the future" in fields(await refused(client, message))["context.expires_at"]


async def test_a_profile_refuses_a_language_and_an_environment(client: Client):
    error = await refused(client, request("1", profile="python-only"))
    assert error.code() is grpc.StatusCode.PERMISSION_DENIED
    assert "languages of profile python-only are python" in error.details()
    error = await refused(client, request("1", "python", profile="python-only"))
    assert 'environments of profile python-only are prod, not "dev"' in error.details()


async def test_broken_utf8_is_refused_as_such(cell: TestCell, client: Client):
    raw = b"\x0a\x02\xff\xfe"
    async with grpc.aio.insecure_channel(cell.address) as channel:
        call = channel.unary_unary("/lockgate.v1.Runtime/Execute")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(raw, metadata=(("authorization", f"Bearer {cell.token}"),))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "UTF-8" in caught.value.details()
    assert (await run(client, "1 + 1")).result_json == "2"


BAD_TOKENS = {
    "none": (),
    "wrong": (("authorization", "Bearer lg_wrong"),),
    "empty": (("authorization", "Bearer "),),
    "other scheme": (("authorization", "Basic abc"),),
}


@pytest.mark.parametrize("metadata", BAD_TOKENS.values(), ids=BAD_TOKENS)
@pytest.mark.parametrize("method", METHODS)
async def test_no_method_answers_without_a_valid_token(cell: TestCell, method, metadata):
    async with grpc.aio.insecure_channel(cell.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            if method in STREAMS:
                await channel.unary_stream(method)(b"", metadata=metadata).read()
            else:
                await channel.unary_unary(method)(b"", metadata=metadata)
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
    assert "authorization: Bearer TOKEN" in caught.value.details()


async def test_two_tokens_are_as_good_as_none(cell: TestCell):
    entry = ("authorization", f"Bearer {cell.token}")
    async with grpc.aio.insecure_channel(cell.address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/lockgate.v1.Runtime/ListProfiles")(b"", metadata=(entry, entry))
    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
