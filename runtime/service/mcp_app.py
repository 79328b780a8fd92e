"""The pair over MCP's streamable HTTP, in the gateway's process: a client of its own gRPC API like any other.

Takes half a second to load, most of it the MCP SDK: see `mcp_face`.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from importlib.metadata import version
from typing import Any

import uvicorn
from mcp.server.lowlevel.server import Server

from runtime.client import Client
from runtime.portal.mcp_http import PATH, READ_ONLY_PATH, portal_app, principal_of
from runtime.portal.mcp_server import portal_server
from runtime.service.client_face import ClientFace
from runtime.service.mcp_face import Answered
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
async def answering(sockets: list[socket.socket], what: Answered) -> AsyncIterator[None]:
    """Take connections from `sockets`, which listen, inside the block. They are closed at its end."""
    settings = what.settings
    host, _ = split_endpoint(settings.mcp_address)
    async with Client(settings.grpc_address, what.token) as client:
        pairs = {
            PATH: _portal(client, settings, read_only=False),
            READ_ONLY_PATH: _portal(client, settings, read_only=True),
        }
        app = portal_app(pairs, what.check, host)
        app.router.routes.append(metrics_route(settings.state_dir, what.upstreams))
        config = uvicorn.Config(
            what.beside(app), log_level="warning", access_log=False, server_header=False, lifespan="on"
        )
        server = _Server(config)
        serving = asyncio.create_task(server.serve(sockets))
        try:
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
