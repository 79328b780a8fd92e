"""The SDK's streams of a connection over HTTP, behind the bounds of what a server may send."""

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import Self

import anyio
from mcp.shared._stream_protocols import ReadStream, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCRequest

from runtime.portal.mcp_inflow import FloodError, Inflow
from runtime.portal.mcp_scope import CallScope, current_call

asks: ContextVar[bool] = ContextVar("asks", default=False)
"""Whether the message that is being sent is a request, whose answer may take long."""


class GatedRead:
    """Passes on what is for somebody, paces the rest and drops it; says when the stream ends."""

    def __init__(
        self, inner: ReadStream[SessionMessage | Exception], inflow: Inflow, close: Callable[[str], None]
    ) -> None:
        self._inner = inner
        self._inflow = inflow
        self._close = close

    @property
    def last_context(self) -> object:
        """The sender's variables, of the message received last."""
        return getattr(self._inner, "last_context", None)

    async def receive(self) -> SessionMessage | Exception:
        """The next message for somebody. Raises anyio.EndOfStream after the last."""
        try:
            while True:
                item = await self._inner.receive()
                if await self._passes(item):
                    return item
        except FloodError as error:
            self._close(str(error))
            raise anyio.EndOfStream from error
        except (anyio.EndOfStream, anyio.ClosedResourceError, anyio.BrokenResourceError):
            self._close("")
            raise

    async def _passes(self, item: SessionMessage | Exception) -> bool:
        cost, wanted = 1.0, False
        if isinstance(item, SessionMessage):
            cost = self._inflow.cost(item.message, 0)
            wanted, _ = self._inflow.took(item.message)
        if cost and (wait := self._inflow.unasked.spend(cost, time.monotonic())):
            await asyncio.sleep(wait)
        return wanted

    async def aclose(self) -> None:
        """End it."""
        self._close("")
        await self._inner.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()


class GatedWrite:
    """Notes what is asked, and that nobody waits any more for what is cancelled."""

    def __init__(self, inner: WriteStream[SessionMessage], inflow: Inflow) -> None:
        self._inner = inner
        self._inflow = inflow

    async def send(self, item: SessionMessage) -> None:
        """Send a message."""
        cancelled = self._inflow.sent(item.message, current_call.get())
        if isinstance(cancelled, CallScope):
            cancelled.abandon()
        reset = asks.set(isinstance(item.message, JSONRPCRequest))
        try:
            await self._inner.send(item)
        finally:
            asks.reset(reset)

    async def aclose(self) -> None:
        """End it."""
        await self._inner.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._inner.aclose()
