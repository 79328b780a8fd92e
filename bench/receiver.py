"""An upstream in a thread of its own that notes when each call arrived, and can keep some waiting.

Its tools: `look` reads, `mark` and `decided` write. One thread and no framework: what is measured is not its own time.
"""

import asyncio
import json
import re
import threading
import time
from typing import Any, Self

HELD = "hold"
"""Calls whose name begins so are not answered before `release`."""

_NAME = {"name": "name", "in": "query", "required": True, "schema": {"type": "string"}}
_DONE = {"200": {"description": "done", "content": {"application/json": {"schema": {"type": "object"}}}}}
_TOOLS = {"look": "get", "mark": "post", "decided": "post"}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Receiver", "version": "1"},
    "paths": {
        f"/{tool}": {method: {"operationId": tool, "parameters": [_NAME], "responses": _DONE}}
        for tool, method in _TOOLS.items()
    },
}
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Receiver:
    """`with Receiver() as receiver:` serves at `receiver.url`."""

    def __init__(self) -> None:
        self.url = ""
        self.arrived: dict[str, float] = {}
        """`time.perf_counter()` of the last call of each name."""
        self._news = threading.Condition()
        self._held: list[asyncio.WriteTransport] = []
        self._holds = True
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="receiver", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def hold(self) -> None:
        """From now on."""
        self._holds = True

    def release(self) -> None:
        """Answer what is held, and hold nothing more."""
        self._loop.call_soon_threadsafe(self._let_go)

    def wait_for(self, names: set[str], timeout_s: float = 60) -> None:
        """Until all of these have arrived. Raises TimeoutError."""
        with self._news:
            if not self._news.wait_for(lambda: names <= self.arrived.keys(), timeout_s):
                missing = names - self.arrived.keys()
                raise TimeoutError(f"{len(missing)} of {len(names)} calls did not arrive in {timeout_s:g} s")

    # The thread's, from here on.

    async def _listen(self) -> asyncio.Server:
        return await self._loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, backlog=1_024)

    def take(self, target: str, transport: asyncio.WriteTransport) -> None:
        now = time.perf_counter()
        path, _, query = target.partition("?")
        if path == "/openapi.json":
            transport.write(_reply(DOCUMENT))
            return
        name = query.removeprefix("name=")
        with self._news:
            self.arrived[name] = now
            self._news.notify_all()
        if name.startswith(HELD) and self._holds:
            self._held.append(transport)
        else:
            transport.write(_reply({"name": name, "state": "done"}))

    def _let_go(self) -> None:
        self._holds = False
        for transport in self._held:
            transport.write(_reply({"state": "done"}))
        self._held.clear()


class _Connection(asyncio.Protocol):
    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._data = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._data[:end])
            length = _LENGTH.search(head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._data) < whole:
                return
            del self._data[:whole]
            self._receiver.take(head.split(b" ", 2)[1].decode(), self._transport)


def _reply(document: dict[str, Any]) -> bytes:
    body = json.dumps(document).encode()
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body
