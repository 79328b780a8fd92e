"""The pair over MCP's streamable HTTP, in the gateway's process: a client of its own gRPC API like any other."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from importlib.metadata import version
from typing import Any

import uvicorn
from mcp.server.lowlevel.server import Server
from starlette.types import ASGIApp

from runtime.client import Client
from runtime.portal.mcp_http import PATH, READ_ONLY_PATH, BearerCheck, portal_app, principal_of
from runtime.portal.mcp_server import portal_server
from runtime.portal.upstreams import Upstreams
from runtime.service.client_face import ClientFace
from runtime.service.metrics_route import metrics_route
from runtime.service.settings import GatewaySettings
from sandboxes.config import split_endpoint

DEFAULT_PROFILE = "standard"
DEFAULT_ENVIRONMENT = "dev"
DEFAULT_OWNER = "mcp"


class _Server(uvicorn.Server):
    """Leaves signals to the gateway."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.asynccontextmanager
async def serve_mcp(
    settings: GatewaySettings,
    token: str,
    check: BearerCheck,
    upstreams: Upstreams,
    beside: Callable[[ASGIApp], ASGIApp],
) -> AsyncIterator[None]:
    """Serve inside the block, what `beside` makes of it. `upstreams` is for the metrics.

    Raises OSError if the address cannot be had.
    """
    host, port = split_endpoint(settings.mcp_address)
    async with Client(settings.grpc_address, token) as client:
        pairs = {
            PATH: _portal(client, settings, read_only=False),
            READ_ONLY_PATH: _portal(client, settings, read_only=True),
        }
        app = portal_app(pairs, check, host)
        app.router.routes.append(metrics_route(settings.state_dir, upstreams))
        config = uvicorn.Config(
            beside(app), host=host, port=port, log_level="warning", access_log=False, server_header=False, lifespan="on"
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve())
        try:
            await _started(server, serving, settings.mcp_address)
            yield
        finally:
            server.should_exit = True
            await serving


def _portal(client: Client, settings: GatewaySettings, *, read_only: bool) -> Server[Any]:
    face = ClientFace(
        client,
        profile=DEFAULT_PROFILE,
        environment=DEFAULT_ENVIRONMENT,
        owner=DEFAULT_OWNER,
        read_only=read_only,
        portal=settings.config.portal,
    )
    return portal_server(face, version("lockgate"), principal_of, read_only=read_only)


async def _started(server: uvicorn.Server, serving: asyncio.Task[None], address: str) -> None:
    while not server.started:
        await asyncio.wait([serving], timeout=0.005)
        if serving.done():
            raise OSError(f"cannot listen on {address}")
