"""Messages for a child that have not been written yet. Sending never waits; a child that does not read is told of."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from types import TracebackType
from typing import Self

import anyio
from mcp.shared.message import SessionMessage

from runtime.portal.mcp_inflow import Inflow
from runtime.portal.mcp_scope import current_call


class Outbox:
    """The write end that the SDK gets."""

    def __init__(self, inflow: Inflow, close: Callable[[str], None]) -> None:
        self._inflow = inflow
        self._close = close
        self._lines: deque[bytes] = deque()
        self._bytes = 0
        self._more = asyncio.Event()
        self._ended = False

    async def send(self, item: SessionMessage) -> None:
        """Take a message. Raises anyio.BrokenResourceError after the end."""
        if self._ended:
            raise anyio.BrokenResourceError
        self._inflow.sent(item.message, current_call.get())
        line = item.message.model_dump_json(by_alias=True, exclude_unset=True).encode("utf-8", "replace") + b"\n"
        if self._bytes + len(line) > self._inflow.bounds.unsent_bytes:
            self.end()
            self._close(f"it left {self._bytes} bytes unread that were sent to it")
            raise anyio.BrokenResourceError
        self._lines.append(line)
        self._bytes += len(line)
        self._more.set()

    async def lines(self) -> AsyncIterator[bytes]:
        """Everything, in order, to the end."""
        while True:
            if self._lines:
                line = self._lines.popleft()
                self._bytes -= len(line)
                yield line
                continue
            if self._ended:
                return
            self._more.clear()
            await self._more.wait()

    def end(self) -> None:
        """Nothing more is sent."""
        self._ended = True
        self._more.set()

    async def aclose(self) -> None:
        """As `end`."""
        self.end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
