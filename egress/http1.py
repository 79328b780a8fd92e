"""HTTP/1 on both sides: heads bounded in size and time and strictly framed, trailers dropped, errors in JSON."""

import re
from dataclasses import dataclass
from typing import Any

import h11
from h11._readers import ChunkedReader
from mitmproxy.connection import ConnectionState
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import _http1
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server

from .answers import refusal
from .stream import Commands, GateError

MAX_HEAD = 64 * 1024


@dataclass(slots=True)
class Limits:
    """How long a client may take over a request head, or over its first one in a tunnel."""

    head_timeout_s: float = 15.0


limits = Limits()
_REQUEST_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32} [^\x00-\x20\x7f]{1,20000} HTTP/1\.[01]\r\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_HEAD_END = re.compile(rb"\n\r?\n")
_INFORMATIONAL = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9][0-9][ \r]")


class GateHttp1Server(Http1Server):
    """HTTP/1 towards clients: heads are bounded in size and time and strictly framed, errors are JSON."""

    _head_timer: commands.RequestWakeup | None = None

    def send(self, event: HttpEvent) -> Commands:
        """Write a response, or our answer where there is none yet."""
        if not isinstance(event, GateError):
            yield from super().send(event)
            return
        if self.response is None and self.conn.state & ConnectionState.CAN_WRITE:
            yield commands.SendData(self.conn, event.answer.http1())
        yield commands.CloseConnection(self.conn)

    def _handle_event(self, event: events.Event) -> Commands:
        if not isinstance(event, events.Wakeup):
            yield from super()._handle_event(event)
        elif self._head_timer is event.command:
            yield from self._reject(408, f"the request head was not complete within {limits.head_timeout_s:g} s")

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        """Refuse a head as soon as it cannot become a good one, and one that takes too long."""
        fault = _head_fault(bytes(self.buf)) if isinstance(event, events.DataReceived) else None
        if fault is not None:
            yield from self._reject(*fault)
            return
        yield from super().read_headers(event)
        if not self._waits_for_head():
            self._head_timer = None
        elif self._head_timer is None:
            self._head_timer = commands.RequestWakeup(limits.head_timeout_s)
            yield self._head_timer

    def _waits_for_head(self) -> bool:
        return self.state == self.read_headers and len(self.buf) > 0

    def _reject(self, status: int, reason: str) -> Commands:
        self._head_timer = None
        yield commands.SendData(self.conn, error_response(status, reason))
        yield commands.CloseConnection(self.conn)
        self.state = self.done


def _head_fault(data: bytes) -> tuple[int, str] | None:
    """What is wrong with the beginning of a request, as (status, reason)."""
    data = data.lstrip(b"\r\n")
    line_end = data.find(b"\n")
    if line_end >= 0 and not _REQUEST_LINE.match(data):
        return 400, "the first line is not an HTTP/1.1 request line"
    if line_end < 0 and data and not data[:1].isalpha():
        return 400, "this is not HTTP/1.1"
    end = _HEAD_END.search(data)
    if (end.end() if end else len(data)) > MAX_HEAD:
        return 431, f"the request head is larger than {MAX_HEAD} bytes"
    if end and _BARE_LF.search(data, 0, end.end()):
        return 400, "a line of the request head ends in a bare line feed"
    return None


class GateHttp1Client(Http1Client):
    """HTTP/1 towards upstreams: heads are bounded, interim responses other than 101 are passed over."""

    def send(self, event: HttpEvent) -> Commands:
        """Write a request. HTTP/2 frames a body without a header; unframed here, it would be a second request."""
        if isinstance(event, RequestHeaders) and event.request.is_http2 and not event.end_stream:
            headers = event.request.headers
            if "content-length" not in headers:
                headers["transfer-encoding"] = "chunked"
        yield from super().send(event)

    def read_headers(self, event: events.ConnectionEvent) -> Commands:
        """Read a response head."""
        data = bytes(self.buf)
        while self.request and _INFORMATIONAL.match(data) and self._skip_head():
            data = bytes(self.buf)
        if len(data) > MAX_HEAD and not _HEAD_END.search(data, 0, MAX_HEAD) and self.stream_id:
            yield commands.CloseConnection(self.conn)
            yield ReceiveHttp(ResponseProtocolError(self.stream_id, "head too large", ErrorCode.GENERIC_SERVER_ERROR))
            return
        yield from super().read_headers(event)

    def _skip_head(self) -> bool:
        return self.buf.maybe_extract_lines() is not None


class _ChunkedReader(ChunkedReader):
    """Chunked bodies whose trailers are dropped (RFC 9110 section 6.5.1); mitmproxy raises on them."""

    def __call__(self, buf: Any) -> Any:
        event = super().__call__(buf)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def error_response(status: int, _message: str = "") -> bytes:
    """For heads that are not requests. mitmproxy's message may quote the head, so it is not shown."""
    reason = _message if not _message.startswith(("Bad HTTP", "Invalid header")) else "this is not a valid HTTP request"
    return refusal(status=status, code="malformed", reason=reason).http1()


_make_body_reader = _http1.make_body_reader


def body_reader(expected_size: int | None) -> Any:
    """What reads a body of that size; None: one in chunks."""
    return _ChunkedReader() if expected_size is None else _make_body_reader(expected_size)
