"""The transports to MCP servers: a child's pipes, or HTTP through the egress proxy. Both bound what comes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

import httpx2
from mcp.client._transport import TransportStreams
from mcp.client.streamable_http import streamable_http_client

from runtime.enclosure.enclosure import Enclosure, Way, enclosed
from runtime.enclosure.walls import Network, Surroundings
from runtime.portal.mcp_gate import GatedRead, GatedWrite
from runtime.portal.mcp_http_transport import BoundedTransport
from runtime.portal.mcp_inflow import Inflow, InflowBounds
from runtime.portal.mcp_scope import TokenOf, current_call
from runtime.portal.mcp_stdio import stdio_streams
from runtime.portal.stderr_tail import StderrTail, stderr_tail
from sandboxes.upstream import McpHttpUpstream, McpStdioUpstream

_STANDARD_ERROR: Final = 2

# Makes the HTTP transport of one upstream. The function it gets names the egress token of the request in hand.
type TransportFactory = Callable[[TokenOf], httpx2.AsyncBaseTransport]


@dataclass(kw_only=True, slots=True)
class Closing:
    """Whether a connection has ended; `reason`: the bound that it was ended for, empty where the server ended it."""

    closed: asyncio.Event = field(default_factory=asyncio.Event)
    reason: str = ""

    def close(self, reason: str = "") -> None:
        """End it; the first reason is kept."""
        self.reason = self.reason or (f"closed: {reason}" if reason else "")
        self.closed.set()


@dataclass(frozen=True, kw_only=True, slots=True)
class McpWire:
    """An open transport. `closed` is set when the server's side ends; `last_words` tells of its standard error."""

    transport: AbstractAsyncContextManager[TransportStreams]
    closing: Closing
    inflow: Inflow
    stderr: StderrTail | None = None
    enclosure: Enclosure | None = None

    @property
    def closed(self) -> asyncio.Event:
        """Set when the server's side ends, or was ended because it broke a bound."""
        return self.closing.closed

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
async def stdio_wire(config: McpStdioUpstream, way: Way, bounds: InflowBounds | None = None) -> AsyncIterator[McpWire]:
    """An enclosed child with the SDK's minimal environment (HOME, PATH and the like) and what the configuration adds.

    It gets no descriptor but the three standard ones, so the control socket goes in place of standard error.
    """
    closing, inflow = Closing(), Inflow(bounds or InflowBounds())
    async with enclosed(Network(config.network), way) as enclosure, stderr_tail() as (tail, file):
        enclosure.give_standard_error(file.fileno())
        transport = _established(
            stdio_streams(
                enclosure.command(config.command, _STANDARD_ERROR),
                env=enclosure.environment | dict(config.env),
                cwd=config.cwd,
                stderr=enclosure.control.fileno(),
                inflow=inflow,
                close=closing.close,
            ),
            enclosure,
        )
        yield McpWire(transport=transport, closing=closing, inflow=inflow, stderr=tail, enclosure=enclosure)


@asynccontextmanager
async def _established(
    transport: AbstractAsyncContextManager[TransportStreams], enclosure: Enclosure
) -> AsyncIterator[TransportStreams]:
    async with transport as streams:
        await enclosure.established()
        yield streams


@asynccontextmanager
async def http_wire(
    config: McpHttpUpstream, factory: TransportFactory, service_token: TokenOf, bounds: InflowBounds | None = None
) -> AsyncIterator[McpWire]:
    """Streamable HTTP; every request under the token of its call, or the service's own for the rest."""

    def token() -> str:
        scope = current_call.get()
        return scope.token() if scope is not None and scope.token is not None else service_token()

    closing, inflow = Closing(), Inflow(bounds or InflowBounds())
    timeout = httpx2.Timeout(30, read=None)
    async with httpx2.AsyncClient(
        transport=BoundedTransport(factory(token), inflow, closing.close),
        timeout=timeout,
        headers=dict(config.headers),
        trust_env=False,
    ) as client:
        transport = streamable_http_client(
            config.url, http_client=client, max_sse_event_size=inflow.bounds.message_bytes
        )
        yield McpWire(transport=_gated(transport, inflow, closing), closing=closing, inflow=inflow)


@asynccontextmanager
async def _gated(
    transport: AbstractAsyncContextManager[TransportStreams], inflow: Inflow, closing: Closing
) -> AsyncIterator[TransportStreams]:
    async with transport as (read, write):
        yield GatedRead(read, inflow, closing.close), GatedWrite(write, inflow)
