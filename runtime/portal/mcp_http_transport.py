"""HTTP exchanges with an MCP server, bounded: how long they take, how large answers are, how often streams end."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, nullcontext
from http import HTTPStatus
from typing import Final

import httpx2

from runtime.execution.hostcall import Code, HostCallError
from runtime.portal.http_call import RETRYABLE
from runtime.portal.mcp_gate import asks
from runtime.portal.mcp_inflow import FloodError, Inflow, JsonBoundError, Pace
from runtime.portal.mcp_scope import current_call

_REFUSAL_BYTES: Final = 64 << 10
_TOLD_S: Final = 5.0
"""A server takes a notification within this."""
_PART: Final = 1 / 16
_LINES_A_UNIT: Final = 8
_BLANK: Final = (b"\n\n", b"\r\r", b"\r\n\r\n")


class BoundedTransport(httpx2.AsyncBaseTransport):
    """Turns a failure of one request into an answer of that request.

    In the SDK an exception from one request ends the whole session, and with it every other call.
    """

    def __init__(self, inner: httpx2.AsyncBaseTransport, inflow: Inflow, close: Callable[[str], None]) -> None:
        self._inner = inner
        self._inflow = inflow
        self._close = close
        self._again = Pace(burst=inflow.bounds.requests, per_s=0.5)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """One exchange; its body is read later. Raises nothing but for cancellation."""
        if request.method == "GET" and (wait := self._again.spend(1, time.monotonic())):
            await asyncio.sleep(wait)
        told = request.method == "POST" and not asks.get()
        try:
            async with _limited(_TOLD_S if told else None):
                response = await self._inner.handle_async_request(request)
        except (httpx2.TransportError, HostCallError, TimeoutError) as error:
            failure = failure_of(error)
            _note(failure)
            return httpx2.Response(failure.status or HTTPStatus.BAD_GATEWAY, text=failure.message, request=request)
        _note(_answered(response.status_code) if response.status_code >= HTTPStatus.BAD_REQUEST else None)
        return self._bounded(response)

    def _bounded(self, response: httpx2.Response) -> httpx2.Response:
        kind = response.headers.get("content-type", "").lower()
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        good = response.status_code < HTTPStatus.MULTIPLE_CHOICES
        if good and kind.startswith("text/event-stream"):
            body: httpx2.AsyncByteStream = _Events(stream, self._inflow, self._close)
        else:
            body = _Whole(stream, self._inflow, self._close, refusal=not good)
        # Its length is that of what is passed on, which may be less.
        headers = [(name, value) for name, value in response.headers.raw if name.lower() not in _OF_THE_BODY]
        return httpx2.Response(
            response.status_code,
            headers=headers,
            stream=body,
            extensions=response.extensions,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        await self._inner.aclose()


_OF_THE_BODY: Final = frozenset({b"content-length", b"content-encoding", b"transfer-encoding"})


class _Body(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, inflow: Inflow, close: Callable[[str], None]) -> None:
        self._inner = inner
        self._inflow = inflow
        self._close = close
        self._held = 0

    async def _parts(self) -> AsyncIterator[bytes]:
        """What comes, counted. Raises httpx2.TransportError, HostCallError or TimeoutError."""
        parts = aiter(self._inner)
        scope = current_call.get()
        while True:
            async with _limited(None):
                part = await anext(parts, None)
            if part is None:
                return
            self._inflow.total += len(part)
            if scope is not None:
                scope.bytes_in += len(part)
            await self._pause(self._cost(part))
            yield part

    def _cost(self, part: bytes) -> float:  # noqa: ARG002 - some count what is in it
        """Units of a part: one alone costs little, a byte at a time costs as much as messages."""
        return _PART

    async def _pause(self, units: float) -> None:
        try:
            wait = self._inflow.unasked.spend(units, time.monotonic())
        except FloodError as error:
            self._close(str(error))
            raise HostCallError("unavailable", f"closed: {error}", details={"sent": True}) from error
        if wait:
            await asyncio.sleep(wait)

    def _hold(self, size: int) -> None:
        """Count what is held until it is whole. Raises HostCallError."""
        if self._inflow.reading + size > self._inflow.bounds.reading_bytes:
            raise _too_much("bytes of answers of this server are being read", self._inflow.bounds.reading_bytes)
        self._inflow.reading += size
        self._held += size

    def _release(self) -> None:
        self._inflow.reading -= self._held
        self._held = 0

    async def aclose(self) -> None:
        self._release()
        await self._inner.aclose()


class _Whole(_Body):
    """A body that is one message: read whole, and looked at before it is decoded."""

    def __init__(
        self, inner: httpx2.AsyncByteStream, inflow: Inflow, close: Callable[[str], None], *, refusal: bool
    ) -> None:
        super().__init__(inner, inflow, close)
        self._refusal = refusal
        self._most = _REFUSAL_BYTES if refusal else inflow.bounds.message_bytes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            yield await self._read()
        except (httpx2.TransportError, HostCallError, TimeoutError) as error:
            failure = failure_of(error)
            _note(failure)
            # What the SDK takes for a fault of this answer alone.
            raise httpx2.StreamError(failure.message) from error
        finally:
            self._release()

    async def _read(self) -> bytes:
        kept: list[bytes] = []
        async for part in self._parts():
            if self._held + len(part) > self._most:
                if self._refusal:
                    return b""
                raise _too_much("bytes in one answer", self._most)
            self._hold(len(part))
            kept.append(part)
        body = b"".join(kept)
        _check(body, self._inflow)
        return body


class _Events(_Body):
    """A stream of events, each passed on when it is whole. Lines are paced: a stream may be nothing but comments."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        waiting = bytearray()
        try:
            async for part in self._parts():
                self._hold(len(part))
                looked = max(0, len(waiting) - 3)
                waiting += part
                end = max(waiting.rfind(blank, looked) + len(blank) for blank in _BLANK)
                if end >= min(map(len, _BLANK)):
                    events = bytes(waiting[:end])
                    del waiting[:end]
                    _check(events, self._inflow)
                    yield events
                    self._inflow.reading -= self._held - len(waiting)
                    self._held = len(waiting)
                if len(waiting) > self._inflow.bounds.message_bytes:
                    raise _too_much("bytes in one event", self._inflow.bounds.message_bytes)
            if waiting:
                yield bytes(waiting)
        except HostCallError as error:
            _note(error)
            # What the SDK takes for a stream that cannot be taken up again.
            raise httpx2.SSEError(error.message) from error
        finally:
            self._release()

    def _cost(self, part: bytes) -> float:
        return _PART + (part.count(b"\n") + part.count(b"\r")) / _LINES_A_UNIT


def _check(body: bytes, inflow: Inflow) -> None:
    try:
        inflow.check(body.decode("utf-8", "replace"))
    except JsonBoundError as error:
        details = {"limit": "message_values", "value": inflow.bounds.message_values, "sent": True}
        raise HostCallError("limit", f"the answer is {error}; the call was made", details=details) from None


@asynccontextmanager
async def _limited(seconds: float | None) -> AsyncIterator[None]:
    """For so long, and not much longer than anybody waits for the call. Raises TimeoutError."""
    scope = current_call.get()
    async with asyncio.timeout(seconds) as limit:
        with scope.waiting(limit) if scope is not None else nullcontext():
            yield


def _too_much(what: str, most: int) -> HostCallError:
    details = {"limit": "message_bytes", "value": most, "sent": True}
    return HostCallError(
        "limit", f"more than {most} {what}; it was not read further; the call was made", details=details
    )


def _note(failure: HostCallError | None) -> None:
    """What became of the last request of a call."""
    if (scope := current_call.get()) is not None:
        scope.failure = failure


def failure_of(error: Exception) -> HostCallError:
    """What kept a request from an answer. `details["sent"]`: whether it may have reached the server."""
    told = error if isinstance(error, HostCallError) else getattr(error, "error", None)
    if isinstance(told, HostCallError):
        return told
    sent = not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout)
    late = isinstance(error, httpx2.TimeoutException | TimeoutError)
    said = str(error) or ("no answer in time" if late else type(error).__name__)
    return HostCallError("timeout" if late else "unavailable", said, retryable=True, details={"sent": sent})


def _answered(status: int) -> HostCallError:
    again = status in RETRYABLE
    code: Code = "unavailable" if again else "upstream_error"
    return HostCallError(code, f"the server answered {status}", status=status, retryable=again)
