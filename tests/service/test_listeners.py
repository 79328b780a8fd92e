"""The gateway's listening sockets: one address, several queues, nobody else's connections."""

import asyncio
import socket
from typing import Any

import grpc
import pytest

from runtime.service.listeners import LISTENERS, Listeners

OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def answer(request: bytes, _: Any) -> bytes:
    return request


def add_services(server: grpc.aio.Server) -> None:
    method = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("tests.Echo", {"Say": method}),))


async def said(address: str, word: bytes) -> bytes:
    async with grpc.aio.insecure_channel(address, OWN_CONNECTION) as channel:
        return bytes(await channel.unary_unary("/tests.Echo/Say")(word, wait_for_ready=True, timeout=20))


async def test_every_connection_is_served_whichever_queue_it_falls_to():
    address = f"127.0.0.1:{free_port()}"
    listeners = Listeners(address, add_services)
    await listeners.start()
    words = [b"%d" % number for number in range(4 * LISTENERS)]
    assert await asyncio.gather(*(said(address, word) for word in words)) == words
    await listeners.stop(0)


async def test_an_address_is_free_again_as_soon_as_its_listeners_have_stopped():
    address = f"127.0.0.1:{free_port()}"
    for _ in range(3):
        listeners = Listeners(address, add_services)
        await listeners.start()
        assert await said(address, b"here") == b"here"
        await listeners.stop(0)


@pytest.mark.parametrize("shares", [False, True], ids=["alone", "as one that shares its port"])
def test_an_address_on_which_another_listens_is_refused_and_not_shared(shares: bool):
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, shares)
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(OSError, match="does another service, or another Lockgate, listen there"):
            Listeners(f"127.0.0.1:{other.getsockname()[1]}", add_services)
