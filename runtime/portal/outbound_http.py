"""The portal's ports to HTTP, over the egress proxy's client. The proxy may be restarted, so it is asked for each time."""

import time
from collections.abc import Callable

import httpx2

from runtime.execution.outbound import Outbound, OutboundRequest
from runtime.execution.outbound_transport import OutboundTransport
from runtime.portal.http_call import HttpBounds, HttpReply, HttpRequest
from runtime.portal.mcp_transport import TokenOf

# The client of the egress proxy as it is now. Raises HostCallError while there is none.
type CurrentOutbound = Callable[[], Outbound]


class OutboundSend:
    """The `HttpSend` of OpenAPI upstreams."""

    def __init__(self, outbound: CurrentOutbound) -> None:
        self._outbound = outbound

    async def __call__(self, request: HttpRequest, bounds: HttpBounds) -> HttpReply:
        """Send within the bounds. Raises HostCallError."""
        sent = OutboundRequest(
            url=request.url,
            method=request.method,
            headers=request.headers,
            body=request.body,
            timeout_s=max(0.0, bounds.deadline - time.monotonic()),
            max_response_bytes=bounds.max_response_bytes,
        )
        answer = await self._outbound().send(sent, bounds.token)
        return HttpReply(
            status=answer.status,
            headers=tuple((name.lower(), value) for name, value in answer.headers),
            body=answer.body,
            egress=answer.egress.rule or answer.egress.reason,
            credential=answer.egress.credential or "",
        )


class CurrentTransport(httpx2.AsyncBaseTransport):
    """The HTTP transport of one MCP upstream."""

    def __init__(self, outbound: CurrentOutbound, token: TokenOf) -> None:
        self._outbound = outbound
        self._token = token

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request. Raises httpx2.TransportError, or HostCallError while there is no proxy."""
        return await OutboundTransport(self._outbound(), self._token).handle_async_request(request)
