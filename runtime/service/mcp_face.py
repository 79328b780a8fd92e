"""Where MCP clients connect: a socket that listens at once, before what answers them has been loaded.

Programs run without the MCP SDK, which takes half a second to load. Who connects meanwhile waits in the socket's queue.
"""

import asyncio
import contextlib
import importlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from runtime.portal.upstreams import Upstreams
from runtime.service.settings import GatewaySettings
from sandboxes.config import split_endpoint

if TYPE_CHECKING:
    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

_BACKLOG: Final = 2_048


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What MCP clients are answered with. `check` takes a bearer token to whom it proves; `upstreams`: for the metrics.

    `beside` puts other routes beside the application.
    """

    settings: GatewaySettings
    token: str
    check: Callable[[str], str | None]
    upstreams: Upstreams
    beside: "Callable[[ASGIApp], ASGIApp]"


class McpFace:
    """Listens from the beginning. `async with face.answering(...):` lets it answer, soon."""

    def __init__(self, address: str) -> None:
        """Raises OSError if the address cannot be had."""
        self._sockets = _listening(address)

    @contextlib.asynccontextmanager
    async def answering(self, what: Answered) -> AsyncIterator[None]:
        """Answer inside the block."""
        over = asyncio.Event()
        task = asyncio.create_task(self._answer(what, over))
        try:
            yield
        finally:
            over.set()
            await task

    async def _answer(self, what: Answered, over: asyncio.Event) -> None:
        try:
            app = await asyncio.to_thread(importlib.import_module, "runtime.service.mcp_app")
            async with app.answering(self._sockets, what):
                await over.wait()
        except Exception:
            log.exception("MCP clients get no answers")
        finally:
            self.close()

    def close(self) -> None:
        """Listen no more."""
        for each in self._sockets:
            each.close()


def _listening(address: str) -> list[socket.socket]:
    """One for each address that a host's name stands for. Raises OSError."""
    host, port = split_endpoint(address)
    found: list[socket.socket] = []
    try:
        for family, kind, _, _, place in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            each = socket.socket(family, kind)
            found.append(each)
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                each.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            each.bind(place)
            each.setblocking(False)  # noqa: FBT003 - the standard library's signature
            each.listen(_BACKLOG)
    except OSError as error:
        for each in found:
            each.close()
        raise OSError(f"cannot listen on {address}: {error.strerror}") from None
    return found
