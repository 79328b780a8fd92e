"""The asynchronous client of the gRPC API."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from types import TracebackType
from typing import Final, Self

import grpc

from runtime.client.approvals import ApprovalsClient
from runtime.client.backoff import waits
from runtime.client.function import Offer
from runtime.client.request import ENVIRONMENTS, LANGUAGES, Context, Language
from runtime.client.session import Session
from runtime.rpc import portal_pb2, portal_pb2_grpc, runtime_pb2, runtime_pb2_grpc

_MOST_MESSAGE: Final = 64 << 20

type OnLog = Callable[[runtime_pb2.LogLine], None]


class Client:
    """`async with Client(address, token) as client:`. Methods raise grpc.aio.AioRpcError."""

    def __init__(self, address: str, token: str) -> None:
        options = [
            ("grpc.max_receive_message_length", _MOST_MESSAGE),
            ("grpc.max_send_message_length", _MOST_MESSAGE),
        ]
        self._channel = grpc.aio.insecure_channel(address, options=options)
        self._metadata = (("authorization", f"Bearer {token}"),)
        self._runtime: runtime_pb2_grpc.RuntimeAsyncStub = runtime_pb2_grpc.RuntimeStub(self._channel)
        self._portal: portal_pb2_grpc.PortalAsyncStub = portal_pb2_grpc.PortalStub(self._channel)
        self.approvals = ApprovalsClient(self._channel, self._metadata)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def execute(self, request: runtime_pb2.ExecuteRequest) -> runtime_pb2.Execution:
        """Run a program to its end."""
        reply = await self._runtime.Execute(request, metadata=self._metadata)
        return reply.execution

    async def stream(self, request: runtime_pb2.ExecuteRequest) -> AsyncIterator[runtime_pb2.ExecuteEvent]:
        """Run a program and hear what happens; the last event is `finished`."""
        call = self._runtime.ExecuteStream(request, metadata=self._metadata)
        try:
            async for event in call:
                yield event
        finally:
            call.cancel()

    async def run(
        self, request: runtime_pb2.ExecuteRequest, on_log: OnLog | None = None, *, attempts: int = 6
    ) -> runtime_pb2.Execution:
        """Run a program to its end, through losses of the connection; `on_log` is called with each line, once.

        The request gets an idempotency key if it has none, so that asking again never runs it twice. Raises
        grpc.aio.AioRpcError: at once for a refusal, after `attempts` for a service that is not there.
        """
        if not request.idempotency_key:
            request.idempotency_key = f"client-{secrets.token_hex(16)}"
        told = 0
        for wait_s in waits(attempts):
            try:
                async for event in self.stream(request):
                    if event.HasField("log") and event.log.number > told:
                        told = event.log.number
                        if on_log is not None:
                            on_log(event.log)
                    elif event.HasField("finished"):
                        return event.finished
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or wait_s is None:
                    raise
                await asyncio.sleep(wait_s)
        raise AssertionError("a stream of an execution ends with `finished` or with an error")

    def session(self, offer: Offer | None = None) -> Session:
        """`async with client.session(offer) as session:` runs programs that call the functions of `offer`."""
        return Session(self._runtime, self._metadata, offer or Offer())

    async def result(  # noqa: PLR0913 - the fields of the request
        self, handle: str, *, owner: str, path: str = "", offset: int = 0, limit: int = 0, most_bytes: int = 0
    ) -> runtime_pb2.GetResultResponse:
        """A result that was cut, or the part at a JSON Pointer, or a range of its items, members or characters."""
        request = runtime_pb2.GetResultRequest(
            handle=handle, owner=owner, path=path, offset=offset, limit=limit, most_bytes=most_bytes
        )
        return await self._runtime.GetResult(request, metadata=self._metadata)

    async def cancel(self, execution_id: str, reason: str = "") -> runtime_pb2.Execution:
        """End an execution, running or paused."""
        request = runtime_pb2.CancelRequest(execution_id=execution_id, reason=reason)
        return (await self._runtime.Cancel(request, metadata=self._metadata)).execution

    async def rollback(self, execution_id: str, context: Context) -> runtime_pb2.Execution:
        """Undo the completed writes of an execution that did not succeed; its `rollback` tells how that went."""
        request = runtime_pb2.RollbackRequest(execution_id=execution_id, context=context.message())
        return (await self._runtime.Rollback(request, metadata=self._metadata)).execution

    async def execution(self, execution_id: str) -> runtime_pb2.Execution:
        """One by its id, running, paused or ended. Raises grpc.aio.AioRpcError."""
        request = runtime_pb2.GetExecutionRequest(execution_id=execution_id)
        return (await self._runtime.GetExecution(request, metadata=self._metadata)).execution

    async def replay(self, request: runtime_pb2.ReplayRequest) -> runtime_pb2.ReplayResponse:
        """An ended execution run once more from its record. Raises grpc.aio.AioRpcError."""
        return await self._runtime.Replay(request, metadata=self._metadata)

    async def kept_sessions(self, owner: str) -> list[runtime_pb2.KeptSession]:
        """An owner's open sessions whose programs keep their globals. Raises grpc.aio.AioRpcError, as the next two."""
        request = runtime_pb2.ListSessionsRequest(owner=owner)
        return list((await self._runtime.ListSessions(request, metadata=self._metadata)).sessions)

    async def close_session(self, owner: str, id: str) -> None:  # noqa: A002 - the field's name
        """End one: its globals are gone."""
        await self._runtime.CloseSession(runtime_pb2.CloseSessionRequest(owner=owner, id=id), metadata=self._metadata)

    async def fork_session(self, owner: str, id: str, session_id: str, after: str = "") -> runtime_pb2.KeptSession:  # noqa: A002 - as above
        """A new one with the globals another has, or had after one of its executions."""
        request = runtime_pb2.ForkSessionRequest(owner=owner, id=id, session_id=session_id, after_execution_id=after)
        return (await self._runtime.ForkSession(request, metadata=self._metadata)).session

    async def search(  # noqa: PLR0913 - the fields of the request
        self,
        query: str,
        *,
        limit: int = 10,
        cursor: str = "",
        language: Language = "",
        read_only: bool = False,
        session_id: str = "",
        profile: str = "",
        environment: str = "",
    ) -> portal_pb2.SearchResponse:
        """Tools that match words; with Session.id its functions, too; with a profile what it says of each."""
        request = portal_pb2.SearchRequest(
            query=query,
            limit=limit,
            cursor=cursor,
            language=LANGUAGES[language],
            read_only=read_only,
            session_id=session_id,
            profile=profile,
            environment=ENVIRONMENTS[environment] if environment else runtime_pb2.ENVIRONMENT_UNSPECIFIED,
        )
        return await self._portal.Search(request, metadata=self._metadata)

    async def describe(
        self, names: Sequence[str], language: Language = "", session_id: str = "", *, read_only: bool = False
    ) -> portal_pb2.DescribeResponse:
        """Declarations of named tools; with Session.id its functions, too."""
        request = portal_pb2.DescribeRequest(
            names=names, language=LANGUAGES[language], session_id=session_id, read_only=read_only
        )
        return await self._portal.Describe(request, metadata=self._metadata)

    async def skipped(self, upstream: str = "") -> portal_pb2.ListSkippedResponse:
        """What upstreams offer that is not in the catalog, and why."""
        return await self._portal.ListSkipped(portal_pb2.ListSkippedRequest(upstream=upstream), metadata=self._metadata)

    async def overview(
        self, language: Language = "", *, read_only: bool = False, profile: str = "", environment: str = ""
    ) -> portal_pb2.OverviewResponse:
        """All declarations at once, if the catalog is small enough."""
        request = portal_pb2.OverviewRequest(
            language=LANGUAGES[language],
            read_only=read_only,
            profile=profile,
            environment=ENVIRONMENTS[environment] if environment else runtime_pb2.ENVIRONMENT_UNSPECIFIED,
        )
        return await self._portal.Overview(request, metadata=self._metadata)

    async def health(self) -> runtime_pb2.GetHealthResponse:
        """How the service stands. Raises grpc.aio.AioRpcError."""
        return await self._runtime.GetHealth(runtime_pb2.GetHealthRequest(), metadata=self._metadata)

    async def profiles(self) -> Sequence[runtime_pb2.ProfileSummary]:
        """The profiles of the service."""
        reply = await self._runtime.ListProfiles(runtime_pb2.ListProfilesRequest(), metadata=self._metadata)
        return reply.profiles
