"""A client's connection, from its first byte until all that it opened is closed."""

import asyncio
import logging
from collections import deque
from typing import Any

from mitmproxy.proxy import events
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from .answers import Answer
from .corked import CorkedWriter


class GateConnection(ProxyConnectionHandler):
    """A client's connection. An error inside the layers, which mitmproxy only logs, ends it."""

    def __init__(self, master: Any, reader: Any, writer: Any, options: Any, mode: Any) -> None:
        self._corked = CorkedWriter(writer)
        self._waiting: deque[events.Event] = deque()
        self._handling = False
        super().__init__(master, reader, self._corked, options, mode)  # type: ignore[no-untyped-call]

    async def server_event(self, event: events.Event) -> None:
        """Handle events one after the other; what one gives rise to at once comes right after it, in the same turn.

        mitmproxy keeps the order by a lock, and so gives every hook a turn of the event loop of its own.
        """
        self._waiting.append(event)
        if self._handling:
            return
        self._handling = True
        try:
            while self._waiting:
                await super().server_event(self._waiting.popleft())
        finally:
            self._handling = False
            self._corked.flush()

    def log(self, message: str, level: int = logging.INFO, exc_info: Any = None) -> None:
        """Only errors: mitmproxy reports several lines per request here."""
        if level < logging.ERROR:
            return
        super().log(message, level, exc_info)
        self.abort()

    async def handle_client(self) -> None:
        """Serve the connection; whatever mitmproxy leaves open is closed.

        A handler cancelled while it waits for mitmproxy's event lock skips its own closing.
        """
        try:
            await super().handle_client()
        finally:
            for transport in self.transports.values():
                if transport.writer is not None:
                    transport.writer.close()

    def abort(self, answer: Answer | None = None) -> None:
        """Close the client's connection and everything opened for it; nothing more goes to an upstream.

        `answer` goes before, where the client speaks HTTP/1 in the clear and nothing of another answer has left.
        """
        for connection, opened in self.transports.items():
            if connection is not self.client and isinstance(opened.writer, asyncio.StreamWriter):
                opened.writer.transport.abort()
        transport = self.transports.get(self.client)
        if answer is not None and transport is not None and transport.writer is not None and not self.client.tls:
            transport.writer.write(answer.http1())
        if transport is not None and transport.handler is not None:
            transport.handler.cancel("closed by the gate")
