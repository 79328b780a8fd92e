"""httpx2 over the egress proxy, for the MCP SDK: answers stream as they arrive."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import httpcore2
import httpx2

from runtime.execution.outbound import Outbound, OutboundError, egress_note, raise_refusal

_OWN = frozenset({b"host", b"connection", b"proxy-authorization", b"accept-encoding", b"keep-alive"})
_MAX_REFUSAL = 64 * 1024
# The most particular first.
_TRANSLATED: tuple[tuple[type[Exception], type[httpx2.TransportError]], ...] = (
    (httpcore2.ConnectTimeout, httpx2.ConnectTimeout),
    (httpcore2.ReadTimeout, httpx2.ReadTimeout),
    (httpcore2.WriteTimeout, httpx2.WriteTimeout),
    (httpcore2.PoolTimeout, httpx2.PoolTimeout),
    (httpcore2.ConnectError, httpx2.ConnectError),
    (httpcore2.ReadError, httpx2.ReadError),
    (httpcore2.WriteError, httpx2.WriteError),
    (httpcore2.LocalProtocolError, httpx2.LocalProtocolError),
    (httpcore2.RemoteProtocolError, httpx2.RemoteProtocolError),
)


class EgressError(httpx2.TransportError):
    """The proxy's own answer to a request: refused, or its upstream failed. `error` says which."""

    def __init__(self, error: OutboundError) -> None:
        super().__init__(error.message)
        self.error = error


class OutboundTransport(httpx2.AsyncBaseTransport):
    """Sends every request through the proxy, under the token that `token()` gives for it."""

    def __init__(self, outbound: Outbound, token: Callable[[], str]) -> None:
        self._outbound = outbound
        self._token = token

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request. Raises httpx2.TransportError, EgressError among it."""
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _OWN]
        with _translated():
            response = await self._outbound.open(
                request.method,
                str(request.url),
                [*headers, (b"Accept-Encoding", b"identity")],
                self._token(),
                request.stream,
                request.extensions.get("timeout"),
            )
        await _raise_refusal(response)
        return httpx2.Response(
            response.status, headers=response.headers, stream=_Body(response), extensions=response.extensions
        )


class _Body(httpx2.AsyncByteStream):
    def __init__(self, response: httpcore2.Response) -> None:
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for part in self._response.aiter_stream():
                yield part

    async def aclose(self) -> None:
        await self._response.aclose()


async def _raise_refusal(response: httpcore2.Response) -> None:
    """Read the proxy's own answers, which are short; leave the upstream's alone."""
    note = egress_note(tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.headers))
    if note is not None and note.allowed and note.error is None:
        return
    body = b""
    with _translated():
        async for part in response.aiter_stream():
            body += part[: _MAX_REFUSAL - len(body)]
    await response.aclose()
    try:
        raise_refusal(response.status, note, body)
    except OutboundError as error:
        raise EgressError(error) from error


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OutboundError as error:
        raise EgressError(error) from error
    except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        for ours, theirs in _TRANSLATED:
            if isinstance(error, ours):
                raise theirs(str(error)) from error
        raise httpx2.TransportError(str(error)) from error
