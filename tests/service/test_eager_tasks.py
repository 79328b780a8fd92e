"""What gRPC starts begins at once; other tasks begin as asyncio's do."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc

from runtime.service.eager_tasks import begin_grpc_at_once
from tests.service.test_listeners import OWN_CONNECTION, add_services


async def test_our_own_tasks_do_not_begin_before_who_makes_them_has_gone_on():
    begin_grpc_at_once(asyncio.get_running_loop())
    order: list[str] = []

    async def later() -> None:
        order.append("task")

    task = asyncio.create_task(later(), name="own")
    order.append("maker")
    await task
    assert order == ["maker", "task"]
    assert task.get_name() == "own"


class Compiled:
    """A coroutine that no Python function made, as those of a compiled module are."""

    def __init__(self, order: list[str]) -> None:
        self._order = order

    def send(self, _: Any) -> None:
        self._order.append("task")
        raise StopIteration

    def throw(self, *_: Any) -> None:
        raise StopIteration

    def close(self) -> None:
        """Nothing is open."""

    def __await__(self) -> Iterator[None]:
        return iter(())


async def test_a_compiled_coroutine_begins_at_once():
    begin_grpc_at_once(asyncio.get_running_loop())
    order: list[str] = []
    task = asyncio.get_running_loop().create_task(Compiled(order))
    order.append("maker")
    await task
    assert order == ["task", "maker"]


async def test_calls_are_served_and_cancelled_as_before():
    begin_grpc_at_once(asyncio.get_running_loop())
    server = grpc.aio.server()
    add_services(server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", OWN_CONNECTION) as channel:
        say = channel.unary_unary("/tests.Echo/Say")
        assert await asyncio.gather(*(say(b"%d" % number, timeout=20) for number in range(50)))
        call = say(b"never mind", timeout=20)
        call.cancel()
        assert await call.code() is grpc.StatusCode.CANCELLED
        assert await say(b"still here", timeout=20) == b"still here"
    await server.stop(0)
