"""The client library against services that are not there, or go away."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from runtime.client import Client, Offer
from runtime.client.backoff import MOST_S, waits
from runtime.rpc import runtime_pb2 as pb
from runtime.rpc import runtime_pb2_grpc
from tests.service.programs import request


class Flaky(runtime_pb2_grpc.RuntimeServicer):
    """Breaks its first streams after `after` events each; the execution goes on meanwhile."""

    def __init__(self, *after: int, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        self._after = list(after)
        self._code = code
        self.keys: list[str] = []

    async def ExecuteStream(  # noqa: N802 - named in the proto
        self, request: pb.ExecuteRequest, context: Any
    ) -> AsyncIterator[pb.ExecuteEvent]:
        self.keys.append(request.idempotency_key)
        events = [
            pb.ExecuteEvent(accepted=pb.Accepted(execution_id="e", attached=len(self.keys) > 1)),
            *(pb.ExecuteEvent(log=pb.LogLine(number=number, text=f"line {number}")) for number in (1, 2, 3)),
            pb.ExecuteEvent(finished=pb.Execution(id="e", status=pb.STATUS_SUCCEEDED)),
        ]
        breaks = self._after.pop(0) if self._after else len(events) + 1
        for event in events[:breaks]:
            yield event
        if breaks <= len(events):
            await context.abort(self._code, "the service is going away")

    async def Session(  # noqa: N802
        self, requests: AsyncIterator[pb.SessionRequest], context: Any
    ) -> AsyncIterator[pb.SessionEvent]:
        self.keys.append("session")
        async for message in requests:
            if message.HasField("offer"):
                if self._after:
                    self._after.pop(0)
                    await context.abort(self._code, "not yet")
                yield pb.SessionEvent(opened=pb.SessionOpened(session_id="ses_1", names=["caller.f"]))


@asynccontextmanager
async def serving(servicer: Flaky) -> AsyncIterator[Client]:
    server = grpc.aio.server()
    runtime_pb2_grpc.add_RuntimeServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Client(f"127.0.0.1:{port}", "token") as client:
        yield client
    await server.stop(None)


async def test_a_program_is_asked_for_again_with_one_key_and_each_line_is_told_once():
    servicer, lines = Flaky(0, 3), []
    async with serving(servicer) as client:
        execution = await client.run(request("1"), lambda line: lines.append(line.text))
    assert execution.id == "e"
    assert lines == ["line 1", "line 2", "line 3"]
    assert len(servicer.keys) == 3
    assert len(set(servicer.keys)) == 1
    assert servicer.keys[0]


async def test_a_key_of_the_callers_is_kept():
    servicer = Flaky(1)
    async with serving(servicer) as client:
        await client.run(request("1", idempotency_key="mine"))
    assert servicer.keys == ["mine", "mine"]


async def test_attempts_end():
    servicer = Flaky(0, 0, 0)
    async with serving(servicer) as client:
        with pytest.raises(grpc.aio.AioRpcError, match="going away"):
            await client.run(request("1"), attempts=2)
    assert len(servicer.keys) == 2


async def test_a_refusal_is_not_asked_again():
    servicer = Flaky(0, code=grpc.StatusCode.INVALID_ARGUMENT)
    async with serving(servicer) as client:
        with pytest.raises(grpc.aio.AioRpcError):
            await client.run(request("1"))
    assert len(servicer.keys) == 1


async def test_a_session_is_opened_again():
    servicer = Flaky(0)
    async with serving(servicer) as client, client.session(Offer()) as session:
        assert session.names == ("caller.f",)
    assert len(servicer.keys) == 2


async def test_a_session_that_is_refused_is_not_opened_again():
    servicer = Flaky(0, code=grpc.StatusCode.PERMISSION_DENIED)
    async with serving(servicer) as client:
        with pytest.raises(grpc.aio.AioRpcError, match="not yet"):
            async with client.session(Offer()):
                pass
    assert len(servicer.keys) == 1


def test_pauses_grow_and_are_bounded():
    pauses = list(waits(20))
    assert pauses[-1] is None
    assert all(0 < pause <= MOST_S * 1.25 for pause in pauses[:-1])
    assert pauses[5] > pauses[0]
