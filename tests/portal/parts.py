"""What the tests of the portal share: loopback servers, a way to them without the egress proxy, contexts."""

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from starlette.types import ASGIApp

from runtime.enclosure.enclosure import Way
from runtime.execution.hostcall import CallContext, HostCallError
from runtime.portal.caller import ToolCaller
from runtime.portal.catalog_calls import CatalogCalls
from runtime.portal.document_cache import DocumentCache
from runtime.portal.finder import Finder
from runtime.portal.http_call import HttpBounds, HttpReply, HttpRequest
from runtime.portal.own_calls import OwnCalls
from runtime.portal.upstream_state import Backoff
from runtime.portal.upstreams import AnyUpstream, Upstreams
from sandboxes.tools import ToolRules
from sandboxes.upstream import McpHttpUpstream, McpStdioUpstream

NOTES = Path(__file__).parent / "servers" / "notes.py"
QUICK = Backoff(first_s=0.02, most_s=0.2)


def context(
    *, seconds: float = 20, allow: tuple[str, ...] = ("*.*",), deny: tuple[str, ...] = (), most: int = 1 << 20
) -> CallContext:
    return CallContext(
        execution_id="x1",
        actor="tester",
        environment="dev",
        token=lambda digest: f"token for {digest}",
        deadline=time.monotonic() + seconds,
        max_response_bytes=most,
        tools=ToolRules(allow=allow, deny=deny),
    )


class DirectSend:
    """The port to HTTP without the proxy. Keeps what it was asked."""

    def __init__(self) -> None:
        self.sent: list[tuple[HttpRequest, HttpBounds]] = []

    async def __call__(self, request: HttpRequest, bounds: HttpBounds) -> HttpReply:
        self.sent.append((request, bounds))
        try:
            async with asyncio.timeout_at(bounds.deadline), httpx2.AsyncClient(trust_env=False, timeout=None) as client:
                answer = await client.request(
                    request.method, request.url, headers=list(request.headers), content=request.body
                )
        except TimeoutError:
            raise HostCallError("timeout", "no answer in time") from None
        except httpx2.TransportError as error:
            raise HostCallError("unavailable", str(error), retryable=True) from error
        headers = tuple((key.lower(), value) for key, value in answer.headers.multi_items())
        return HttpReply(status=answer.status_code, headers=headers, body=answer.content)


class TokenTransport(httpx2.AsyncHTTPTransport):
    """A transport that shows the server which token a request was sent under."""

    def __init__(self, token: Callable[[], str]) -> None:
        super().__init__()
        self._token = token

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.headers["x-test-token"] = self._token()
        return await super().handle_async_request(request)


async def nowhere() -> tuple[str, int]:
    raise OSError("there is no proxy in these tests")


def upstreams(
    configs: Mapping[str, AnyUpstream],
    send: DirectSend | None = None,
    cache: DocumentCache | None = None,
    reviews: Path | None = None,
) -> Upstreams:
    return Upstreams(
        configs,
        send=send or DirectSend(),
        transport=TokenTransport,
        service_token=lambda purpose, _: f"service {purpose}",
        way=lambda token: Way(find=nowhere, token=token, ca_file="/nowhere"),
        backoff=QUICK,
        cache=cache,
        reviews=reviews,
    )


def caller_of(running: Upstreams) -> ToolCaller:
    return ToolCaller(running, OwnCalls(CatalogCalls(Finder(running))))


def stdio_notes(**more: Any) -> McpStdioUpstream:
    return McpStdioUpstream(kind="mcp", command=(sys.executable, str(NOTES), "stdio"), **more)


def http_notes(port: int, **more: Any) -> McpHttpUpstream:
    return McpHttpUpstream(kind="mcp", url=f"http://127.0.0.1:{port}/mcp", networks=("127.0.0.1/32",), **more)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def served(app: ASGIApp, port: int = 0) -> AsyncIterator[int]:
    """An ASGI application on loopback; its port."""
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, log_level="critical", lifespan="on", ws="none", timeout_graceful_shutdown=0
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[method-assign]
    running = asyncio.create_task(server.serve())
    while not server.started:
        if running.done():
            running.result()
        await asyncio.sleep(0)
    try:
        yield int(server.servers[0].sockets[0].getsockname()[1])
    finally:
        server.should_exit = True
        await running


async def until(upstreams: Upstreams, wanted: Callable[[], bool]) -> None:
    """Wait for a change after which `wanted` holds."""
    async with asyncio.timeout(30):
        while not wanted():
            await upstreams.changed()


def as_json(document: Any) -> bytes:
    return json.dumps(document).encode()
