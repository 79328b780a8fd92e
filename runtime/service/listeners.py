"""The gateway's listening sockets: several gRPC servers on one address, each with a queue of its own.

A server hands its requests over one at a time, in the order in which they came, and each costs the gateway some
processor time before anybody can see whose it is. With one queue a client that sends a thousand at once would keep
everybody waiting for the last of them. The kernel gives every connection to one of the servers, by a hash of both
ends, so a flood delays only who shares its connection or, one in `LISTENERS`, its server.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Final

import grpc

from sandboxes.config import split_endpoint

LISTENERS: Final = 16

MOST_MESSAGE: Final = 16 << 20
"""Bytes of one gRPC message, either way up from the client."""

_OPTIONS: Final = (
    ("grpc.max_receive_message_length", MOST_MESSAGE),
    ("grpc.max_send_message_length", 4 * MOST_MESSAGE),
    ("grpc.max_concurrent_streams", 4_000),
    ("grpc.so_reuseport", 1),
)


class Listeners:
    """Servers on one address, alike in what they serve."""

    def __init__(self, address: str, add_services: Callable[[grpc.aio.Server], None]) -> None:
        """Raises OSError if the address cannot be listened on, or another process does."""
        _refuse_taken(address)
        self._servers = [grpc.aio.server(options=_OPTIONS) for _ in range(LISTENERS)]
        for server in self._servers:
            add_services(server)
            try:
                server.add_insecure_port(address)
            except RuntimeError as error:
                raise OSError(f"cannot listen on {address}: {error}") from None

    async def start(self) -> None:
        """Take connections."""
        for server in self._servers:
            await server.start()

    async def stop(self, grace_s: float) -> None:
        """Take no more; calls under way have `grace_s` to end."""
        await asyncio.gather(*(server.stop(grace_s) for server in self._servers))


def _refuse_taken(address: str) -> None:
    """Raises OSError if somebody listens there: sockets that share a port would share its connections with them."""
    host, port = split_endpoint(address)
    for family, _, _, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As gRPC does it: connections of a gateway that was here before are no listener.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(place)
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                raise OSError(
                    f"cannot listen on {address}; does another service, or another Lockgate, listen there?"
                ) from None
