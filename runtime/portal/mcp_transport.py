"""The transports to MCP servers: a child's pipes, or HTTP through the egress proxy."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from http import HTTPStatus
from types import TracebackType
from typing import Final, Self

import anyio
import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._stream_protocols import ReadStream
from mcp.shared.message import SessionMessage

from runtime.enclosure.enclosure import Enclosure, Way, enclosed
from runtime.enclosure.walls import Network, Surroundings
from runtime.execution.hostcall import Code, HostCallError
from runtime.portal.http_call import RETRYABLE
from runtime.portal.stderr_tail import StderrTail, stderr_tail
from sandboxes.upstream import McpHttpUpstream, McpStdioUpstream

_STANDARD_ERROR: Final = 2

type TokenOf = Callable[[], str]
# Makes the HTTP transport of one upstream. The function it gets names the egress token of the request in hand.
type TransportFactory = Callable[[TokenOf], httpx2.AsyncBaseTransport]


@dataclass(kw_only=True, slots=True)
class CallScope:
    """One tool call on its way: its egress token (None for the service's own), and what went wrong on the wire.

    The SDK sends each message within the context of whoever sent it, so a variable set around a call is
    seen by the transport that carries the call.
    """

    token: TokenOf | None = None
    failure: HostCallError | None = None


current_call: ContextVar[CallScope | None] = ContextVar("current_call", default=None)


@dataclass(frozen=True, kw_only=True, slots=True)
class McpWire:
    """An open transport. `closed` is set when the server's side ends; `last_words` tells of its standard error."""

    transport: AbstractAsyncContextManager[TransportStreams]
    closed: asyncio.Event
    stderr: StderrTail | None = None
    enclosure: Enclosure | None = None

    @property
    def surroundings(self) -> Surroundings | None:
        """Of a child that was started; None for a server that is no child."""
        if self.enclosure is None:
            return None
        return Surroundings(network=self.enclosure.network, walls=dict(self.enclosure.walls))

    def last_words(self) -> str:
        """What the server last complained of, if anything."""
        return self.stderr.last_line() if self.stderr is not None else ""


@asynccontextmanager
async def stdio_wire(config: McpStdioUpstream, way: Way) -> AsyncIterator[McpWire]:
    """An enclosed child with the SDK's minimal environment (HOME, PATH and the like) and what the configuration adds.

    The SDK hands no descriptor on but the three standard ones, so the control socket goes in place of standard error.
    """
    closed = asyncio.Event()
    async with enclosed(Network(config.network), way) as enclosure, stderr_tail() as (tail, file):
        command, *arguments = enclosure.command(config.command, _STANDARD_ERROR)
        parameters = StdioServerParameters(
            command=command,
            args=arguments,
            env=enclosure.environment | dict(config.env),
            cwd=config.cwd,
            encoding_error_handler="replace",
        )
        enclosure.give_standard_error(file.fileno())
        child = stdio_client(parameters, errlog=enclosure.control)  # type: ignore[arg-type]
        transport = _watched(_established(child, enclosure), closed)
        yield McpWire(transport=transport, closed=closed, stderr=tail, enclosure=enclosure)


@asynccontextmanager
async def _established(
    transport: AbstractAsyncContextManager[TransportStreams], enclosure: Enclosure
) -> AsyncIterator[TransportStreams]:
    async with transport as streams:
        await enclosure.established()
        yield streams


@asynccontextmanager
async def http_wire(
    config: McpHttpUpstream, factory: TransportFactory, service_token: TokenOf
) -> AsyncIterator[McpWire]:
    """Streamable HTTP; every request under the token of its call, or the service's own for the rest."""

    def token() -> str:
        scope = current_call.get()
        return scope.token() if scope is not None and scope.token is not None else service_token()

    closed = asyncio.Event()
    timeout = httpx2.Timeout(30, read=None)
    async with httpx2.AsyncClient(
        transport=_SoftTransport(factory(token)), timeout=timeout, headers=dict(config.headers), trust_env=False
    ) as client:
        transport = streamable_http_client(config.url, http_client=client)
        yield McpWire(transport=_watched(transport, closed), closed=closed)


@asynccontextmanager
async def _watched(
    transport: AbstractAsyncContextManager[TransportStreams], closed: asyncio.Event
) -> AsyncIterator[TransportStreams]:
    async with transport as (read, write):
        yield _WatchedRead(read, closed), write


class _WatchedRead:
    """A read stream that says when it ends, which the SDK's client does not."""

    def __init__(self, inner: ReadStream[SessionMessage | Exception], closed: asyncio.Event) -> None:
        self._inner = inner
        self._closed = closed

    @property
    def last_context(self) -> object:
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        try:
            return await self._inner.receive()
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._closed.set()
            raise

    async def aclose(self) -> None:
        self._closed.set()
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class _SoftTransport(httpx2.AsyncBaseTransport):
    """Turns a failure to connect into an HTTP error of that request.

    In the SDK an exception from one request ends the whole session, and with it every other call.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport) -> None:
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        try:
            response = await self._inner.handle_async_request(request)
        except (httpx2.TransportError, HostCallError) as error:
            failure = _failure(error)
            _note(failure)
            return httpx2.Response(failure.status or HTTPStatus.BAD_GATEWAY, text=failure.message, request=request)
        if response.status_code >= HTTPStatus.BAD_REQUEST:
            _note(_answered(response.status_code))
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def _note(failure: HostCallError) -> None:
    if (scope := current_call.get()) is not None:
        scope.failure = failure


def _failure(error: httpx2.TransportError | HostCallError) -> HostCallError:
    """What kept a request from an answer. `details["sent"]`: whether it may have reached the server."""
    told = error if isinstance(error, HostCallError) else getattr(error, "error", None)
    if isinstance(told, HostCallError):
        return told
    sent = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
    late = isinstance(error, httpx2.TimeoutException)
    said = str(error) or type(error).__name__
    return HostCallError("timeout" if late else "unavailable", said, retryable=True, details={"sent": sent})


def _answered(status: int) -> HostCallError:
    again = status in RETRYABLE
    code: Code = "unavailable" if again else "upstream_error"
    return HostCallError(code, f"the server answered {status}", status=status, retryable=again)
