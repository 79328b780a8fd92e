"""The gateway's one way out, known once the egress proxy is ready; calls made before wait for it."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from runtime.enclosure.enclosure import Way
from runtime.execution.fetcher import ProgramFetcher, preview_fetch
from runtime.execution.host_calls import Answer
from runtime.execution.hostcall import CallContext, HostCallError
from runtime.execution.literal_request import Preview
from runtime.execution.outbound import Outbound, OutboundRequest
from runtime.portal.http_call import HttpBounds, HttpReply, HttpRequest

if TYPE_CHECKING:
    import httpx2


class EgressLink:
    """Fetches of programs, requests of OpenAPI tools and transports of MCP clients, all through one proxy.

    A proxy that is started again listens where the one before did, so the connections mend themselves.
    """

    def __init__(self, ca_file: str, host: str = "127.0.0.1") -> None:
        self._ca_file = ca_file
        self._host = host
        self._port = 0
        self._outbound: asyncio.Future[Outbound] = asyncio.get_running_loop().create_future()

    def use(self, port: int, ports: Sequence[int] = ()) -> None:
        """The proxy listens on `port`, and its processes on `ports` if it has several."""
        self._port = port
        if self._outbound.done():
            self._outbound.result().use(*(ports or (port,)))
        else:
            self._outbound.set_result(Outbound(self._host, *(ports or (port,))))

    async def ready(self) -> Outbound:
        """The way out, when there is one."""
        return await asyncio.shield(self._outbound)

    async def close(self) -> None:
        """Close the connections."""
        if self._outbound.done():
            await self._outbound.result().aclose()
        self._outbound.cancel()

    async def fetch(self, request: dict[str, Any], context: CallContext, rules: str) -> Answer:
        """A program's fetch. Raises HostCallError."""
        return await ProgramFetcher(await self._in_time(context.deadline)).fetch(request, context, rules)

    def preview(self, request: dict[str, Any], context: CallContext) -> Preview:
        """What a program's fetch would send. Raises HostCallError."""
        return preview_fetch(request, context)

    async def send(self, request: HttpRequest, bounds: HttpBounds) -> HttpReply:
        """A request of a tool. Raises HostCallError."""
        outbound = await self._in_time(bounds.deadline)
        outgoing = OutboundRequest(
            url=request.url,
            method=request.method,
            headers=request.headers,
            body=request.body,
            timeout_s=max(0.0, bounds.deadline - time.monotonic()),
            max_response_bytes=bounds.max_response_bytes,
        )
        response = await outbound.send(outgoing, bounds.token)
        return HttpReply(
            status=response.status,
            headers=tuple((name.lower(), value) for name, value in response.headers),
            body=response.body,
            egress=f"rule {response.egress.rule}",
            credential=response.egress.credential or "",
        )

    def transport(self, token_of: Callable[[], str]) -> "httpx2.AsyncBaseTransport":
        """For an MCP client. Raises RuntimeError before the proxy is ready."""
        if not self._outbound.done():
            raise RuntimeError("the egress proxy is not ready")
        from runtime.execution.outbound_transport import OutboundTransport  # noqa: PLC0415 - for MCP upstreams only

        return OutboundTransport(self._outbound.result(), token_of)

    def way(self, token_of: Callable[[], str]) -> Way:
        """For a child of the gateway's, whose requests carry what `token_of` gives."""
        return Way(find=self._address, token=token_of, ca_file=self._ca_file)

    async def _address(self) -> tuple[str, int]:
        await self.ready()
        return self._host, self._port

    async def _in_time(self, deadline: float) -> Outbound:
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                return await self.ready()
        except TimeoutError:
            message = "the egress proxy was not ready in time; nothing was sent"
            raise HostCallError("unavailable", message, retryable=True, details={"sent": False}) from None
