"""Connections that another process accepted: the parent looks at their first bytes, and a member serves them."""

import array
import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def hand_over(channel: socket.socket, connection: socket.socket) -> None:
    """Give a connection to the process at the other end. Raises OSError if it takes no more for now, or is gone."""
    sent = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connection.fileno()]))]
    channel.sendmsg([b"c"], sent, socket.MSG_DONTWAIT)


class Handover:
    """The receiving end, on the event loop."""

    def __init__(self, channel: socket.socket, serve: Serve) -> None:
        self._channel = channel
        self._serve = serve
        self._tasks: set[asyncio.Task[None]] = set()
        channel.setblocking(False)  # noqa: FBT003 - the socket's own interface
        asyncio.get_running_loop().add_reader(channel, self._take)

    def _take(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._channel, 1, 4)
        except BlockingIOError:
            return
        for descriptor in descriptors:
            task = asyncio.create_task(self._serve_one(socket.socket(fileno=descriptor)))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        if not data:
            asyncio.get_running_loop().remove_reader(self._channel)

    async def _serve_one(self, connection: socket.socket) -> None:
        connection.setblocking(False)  # noqa: FBT003 - the socket's own interface
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(sock=connection)
            await self._serve(reader, writer)
