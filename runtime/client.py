"""A client of the gRPC API that finds its token by itself. Asynchronous; the stubs it uses are public too."""

import getpass
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from runtime.rpc import portal_pb2, portal_pb2_grpc, runtime_pb2, runtime_pb2_grpc

Language = Literal["javascript", "typescript", "python", ""]

_LANGUAGES = {
    "": runtime_pb2.LANGUAGE_UNSPECIFIED,
    "javascript": runtime_pb2.LANGUAGE_JAVASCRIPT,
    "python": runtime_pb2.LANGUAGE_PYTHON,
    "typescript": runtime_pb2.LANGUAGE_TYPESCRIPT,
}
_ENVIRONMENTS = {
    "dev": runtime_pb2.ENVIRONMENT_DEV,
    "stage": runtime_pb2.ENVIRONMENT_STAGE,
    "prod": runtime_pb2.ENVIRONMENT_PROD,
}
_MOST_MESSAGE = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """Who asks, and why. `environment` is dev, stage or prod; `expires_in_s` counts from the request."""

    actor: str
    owner: str
    environment: str
    reason: str
    expires_in_s: float = 3_600

    def message(self) -> runtime_pb2.Context:
        """As the API wants it."""
        expires = Timestamp()
        expires.FromNanoseconds(int((time.time() + self.expires_in_s) * 1e9))
        return runtime_pb2.Context(
            actor=self.actor,
            owner=self.owner,
            environment=_ENVIRONMENTS[self.environment],
            reason=self.reason,
            expires_at=expires,
        )


def local_context(reason: str, environment: str = "dev") -> Context:
    """The context of somebody at a terminal."""
    user = getpass.getuser()
    return Context(actor=f"cli:{user}", owner=user, environment=environment, reason=reason)


def execute_request(  # noqa: PLR0913 - the fields of the request
    code: str,
    *,
    profile: str,
    context: Context,
    language: Language = "",
    inputs: Any = None,
    limits: dict[str, int] | None = None,
    idempotency_key: str = "",
) -> runtime_pb2.ExecuteRequest:
    """The request for one program; `inputs` is any JSON value."""
    return runtime_pb2.ExecuteRequest(
        code=code,
        language=_LANGUAGES[language],
        profile=profile,
        inputs_json="" if inputs is None else json.dumps(inputs),
        context=context.message(),
        limits=limits or {},
        idempotency_key=idempotency_key,
    )


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

    async def search(
        self, query: str, *, limit: int = 10, cursor: str = "", language: Language = ""
    ) -> portal_pb2.SearchResponse:
        """Tools that match words."""
        request = portal_pb2.SearchRequest(query=query, limit=limit, cursor=cursor, language=_LANGUAGES[language])
        return await self._portal.Search(request, metadata=self._metadata)

    async def describe(self, names: Sequence[str], language: Language = "") -> portal_pb2.DescribeResponse:
        """Declarations of named tools."""
        request = portal_pb2.DescribeRequest(names=names, language=_LANGUAGES[language])
        return await self._portal.Describe(request, metadata=self._metadata)

    async def skipped(self, upstream: str = "") -> portal_pb2.ListSkippedResponse:
        """What upstreams offer that is not in the catalog, and why."""
        return await self._portal.ListSkipped(portal_pb2.ListSkippedRequest(upstream=upstream), metadata=self._metadata)

    async def overview(self, language: Language = "") -> portal_pb2.OverviewResponse:
        """All declarations at once, if the catalog is small enough."""
        request = portal_pb2.OverviewRequest(language=_LANGUAGES[language])
        return await self._portal.Overview(request, metadata=self._metadata)

    async def health(self) -> runtime_pb2.GetHealthResponse:
        """How the service stands. Raises grpc.aio.AioRpcError."""
        return await self._runtime.GetHealth(runtime_pb2.GetHealthRequest(), metadata=self._metadata)

    async def profiles(self) -> Sequence[runtime_pb2.ProfileSummary]:
        """The profiles of the service."""
        reply = await self._runtime.ListProfiles(runtime_pb2.ListProfilesRequest(), metadata=self._metadata)
        return reply.profiles
