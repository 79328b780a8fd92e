"""mitmproxy's protocol layers with the ways out closed: HTTP and TLS only, decided destinations only, JSON errors.

mitmproxy makes these classes by the names they have in its own modules, so `install` puts ours there.
"""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

import h11
from h11._readers import ChunkedReader
from mitmproxy import http
from mitmproxy.connection import ConnectionState
from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer, mode_servers
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import ClientTLSLayer, ServerTLSLayer, modes
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpLayer, HTTPMode, HttpStream, SendHttp, _http1
from mitmproxy.proxy.layers.http._base import HttpEvent, ReceiveHttp
from mitmproxy.proxy.layers.http._events import (
    ErrorCode,
    RequestData,
    RequestEndOfMessage,
    RequestHeaders,
    RequestProtocolError,
    ResponseData,
    ResponseHeaders,
    ResponseProtocolError,
)
from mitmproxy.proxy.layers.http._http1 import Http1Client, Http1Server
from mitmproxy.proxy.layers.http._http2 import Http2Server
from mitmproxy.proxy.mode_servers import ProxyConnectionHandler

from .answers import Answer, refusal
from .corked import CorkedWriter
from .dialer import REFUSED
from .exchange import Exchange
from .patience import Phase
from .request import Denial

EXCHANGE = "lockgate"
RAW_TARGET = "lockgate_target"
BODILESS = "lockgate_bodiless"
MAX_HEAD = 64 * 1024
MAX_DISCARDED = 1024 * 1024


@dataclass(slots=True)
class Limits:
    """How long a client may take over a request head, or over its first one in a tunnel."""

    head_timeout_s: float = 15.0


limits = Limits()
Commands = Generator[commands.Command, Any, Any]
_REQUEST_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32} [^\x00-\x20\x7f]{1,20000} HTTP/1\.[01]\r\n")
_BARE_LF = re.compile(rb"(?<!\r)\n")
_HEAD_END = re.compile(rb"\n\r?\n")
_INFORMATIONAL = re.compile(rb"HTTP/1\.[01] 1(?!01)[0-9][0-9][ \r]")


def exchange_of(flow: http.HTTPFlow) -> Exchange | None:
    """The exchange that the gate attached to a flow."""
    found = flow.metadata.get(EXCHANGE)
    return found if isinstance(found, Exchange) else None


def body_length(request: http.Request) -> int | None:
    """What the framing says of the body's length: None for one that is counted only as it comes."""
    if getattr(request, BODILESS):
        return 0
    said = request.headers.get("content-length")
    return None if said is None else int(said)


class NextLayer:
    """Chooses protocols: a plain HTTP proxy outside, HTTP or TLS with HTTP in tunnels. Nothing else exists here."""

    name = "nextlayer"

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """Set the next layer; a hook of mitmproxy."""
        context = nextlayer.context
        if len(context.layers) == 1 and isinstance(context.layers[0], modes.HttpProxy):
            nextlayer.layer = HttpLayer(context, HTTPMode.regular)
            return
        data: bytes = nextlayer.data_client()
        if context.client.tls or (data and data[0] != 0x16):  # noqa: PLR2004 - a TLS handshake record
            nextlayer.layer = HttpLayer(context, HTTPMode.transparent)
        elif starts_like_tls_record(data):
            server = ServerTLSLayer(context)
            server.child_layer = ClientTLSLayer(context)
            nextlayer.layer = server
        elif len(data) > 2:  # noqa: PLR2004 - enough to know that it is not TLS
            nextlayer.layer = Refuse(context)


class Refuse(layer.Layer):
    """Closes the client's connection, whatever comes."""

    def _handle_event(self, _event: events.Event) -> Commands:
        yield commands.CloseConnection(self.context.client)


class GateError(ResponseProtocolError):
    """A protocol error that carries the answer the client shall get."""

    def __init__(self, event: ResponseProtocolError, answer: Answer) -> None:
        super().__init__(event.stream_id, event.message, event.code)
        self.answer = answer


_PHASES: dict[type[events.Event], Phase] = {
    RequestData: "sending",
    RequestEndOfMessage: "waiting",
    ResponseHeaders: "receiving",
    ResponseData: "receiving",
}


class GateStream(HttpStream):
    """One request and its response. Connects only to the destination its exchange was decided for."""

    discarded = 0

    def _handle_event(self, event: events.Event) -> Commands:
        if isinstance(event, (RequestData, ResponseData)) and not event.data:
            return  # an empty piece would look like the end of the body to whoever counts and redacts it
        phase = _PHASES.get(type(event))
        if phase is not None and (exchange := exchange_of(self.flow)) is not None:
            exchange.moves(phase)
        yield from self._answered(super()._handle_event(event))

    def state_wait_for_request_headers(self, event: RequestHeaders) -> Commands:
        """Keep the target as it was written: mitmproxy normalises it before the first hook."""
        data = event.request.data
        setattr(event.request, RAW_TARGET, (data.scheme, data.authority))
        setattr(event.request, BODILESS, event.end_stream)
        yield from super().state_wait_for_request_headers(event)

    def state_consume_request_body(self, event: events.Event) -> Commands:
        """A refused request's body is thrown away, and its sender cut off beyond MAX_DISCARDED bytes."""
        if isinstance(event, RequestData) and self.flow.response is None:
            self._hold(len(event.data))
        if not isinstance(event, RequestData) or self.flow.response is None:
            yield from super().state_consume_request_body(event)
            return
        self.request_body_buf.clear()
        self.discarded += len(event.data)
        if self.discarded > MAX_DISCARDED:
            error = ResponseProtocolError(self.stream_id, "refused", ErrorCode.REQUEST_TOO_LARGE)
            yield from self.handle_protocol_error(error)
            self.client_state = self.state_errored

    def state_stream_request_body(self, event: events.Event) -> Commands:
        """A body that must not go on is thrown away from there on, and its sender gets the answer to a refused one."""
        yield from self._unended(super().state_stream_request_body(event))
        exchange = exchange_of(self.flow)
        if exchange is None or not exchange.cut or exchange.answer is None or self.flow.response is not None:
            return
        yield SendHttp(RequestProtocolError(self.stream_id, "cut off", ErrorCode.CANCEL), self.context.server)
        self.flow.response = response_of(exchange.answer)
        self.client_state = self.state_consume_request_body
        self.server_state = self.state_ignored
        if isinstance(event, RequestEndOfMessage):
            yield from self.state_consume_request_body(event)

    def _unended(self, source: Commands) -> Commands:
        """The same commands, but a request that was cut off does not look whole to its upstream."""
        reply: Any = None
        while True:
            try:
                command = source.send(reply)
            except StopIteration as stop:
                return stop.value
            exchange = exchange_of(self.flow)
            ends = isinstance(command, SendHttp) and isinstance(command.event, RequestEndOfMessage)
            reply = None if ends and exchange is not None and exchange.cut else (yield command)

    def state_ignored(self, _event: events.Event) -> Commands:
        """What the upstream still says to a request that was broken off."""
        yield from ()

    def state_stream_response_body(self, event: events.Event) -> Commands:
        """A body that a budget ends is broken off, so that it cannot be taken for a whole one."""
        yield from super().state_stream_response_body(event)
        exchange = exchange_of(self.flow)
        if exchange is None or not exchange.cut or self.server_state == self.state_errored:
            return
        yield SendHttp(RequestProtocolError(self.stream_id, "budget", ErrorCode.CANCEL), self.context.server)
        yield from self.handle_protocol_error(ResponseProtocolError(self.stream_id, "budget", ErrorCode.CANCEL))
        self.client_state = self.state_errored

    def _hold(self, size: int) -> None:
        """Count a held body; one that grows too long is refused, and nothing of it has left."""
        exchange = exchange_of(self.flow)
        if exchange is None or exchange.held is None:
            raise LookupError("a body is held for no request")
        refused = exchange.held.take(size)
        if refused is not None:
            self.flow.response = response_of(exchange.deny(refused))

    def make_server_connection(self) -> Commands:
        """A connection to the decided destination; without one there is none."""
        exchange = exchange_of(self.flow)
        if exchange is None or exchange.destination is None:
            error = ResponseProtocolError(self.stream_id, "not decided", ErrorCode.KILL)
            yield from self.handle_protocol_error(error)
            return False
        secure = self.flow.request.scheme == "https"
        connection, failure = yield GetHttpConnection(exchange.destination, secure, None, "tcp")
        if failure:
            error = ResponseProtocolError(self.stream_id, failure, ErrorCode.CONNECT_FAILED)
            yield from self.handle_protocol_error(error)
            return False
        self.context.server = self.flow.server_conn = connection
        return True

    def handle_protocol_error(self, event: RequestProtocolError | ResponseProtocolError) -> Commands:
        """Note what went wrong before the hooks see it."""
        exchange = exchange_of(self.flow)
        if exchange is not None:
            note_failure(exchange, event)
        yield from super().handle_protocol_error(event)

    def _answered(self, source: Commands) -> Commands:
        """The same commands; errors on their way to the client get our answer instead of mitmproxy's page."""
        reply: Any = None
        while True:
            try:
                command = source.send(reply)
            except StopIteration as stop:
                return stop.value
            if isinstance(command, SendHttp) and isinstance(command.event, ResponseProtocolError):
                command = SendHttp(GateError(command.event, _answer(self.flow)), command.connection)
            reply = yield command


def note_failure(exchange: Exchange, event: RequestProtocolError | ResponseProtocolError) -> None:
    """Put a protocol error into the terms of the exchange."""
    if exchange.answer is not None or exchange.cut:
        return
    if isinstance(event, RequestProtocolError):
        exchange.code, exchange.reason = "client_disconnected", "the client went away or broke the protocol"
    elif event.code is ErrorCode.CONNECT_FAILED and REFUSED in event.message:
        reason = event.message.partition(REFUSED)[2]
        exchange.deny(Denial(code="address", reason=reason, rule=exchange.rule))
    elif event.code is ErrorCode.CONNECT_FAILED:
        exchange.fail("upstream_unreachable", event.message)
    elif event.code is ErrorCode.KILL:
        exchange.deny(closed())
    elif exchange.allowed:
        # The message may quote what the upstream sent.
        exchange.fail("upstream_error", "the upstream's answer was broken off or is not valid HTTP")


def response_of(answer: Answer) -> http.Response:
    """An answer of the proxy's own in mitmproxy's form."""
    return http.Response.make(answer.status, answer.body, http.Headers(answer.headers))


def closed() -> Denial:
    """The refusal where something in the proxy itself failed."""
    return Denial(code="closed", reason="the egress proxy failed while deciding, so it refused", status=403)


def _answer(flow: http.HTTPFlow) -> Answer:
    exchange = exchange_of(flow)
    if exchange is None:
        return refusal(status=403, code="closed", reason=closed().reason)
    return exchange.answer or exchange.deny(closed())


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
        yield commands.SendData(self.conn, _error_response(status, reason))
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


class GateHttp2Server(Http2Server):
    """HTTP/2 towards clients in tunnels: errors are JSON."""

    def _handle_event(self, event: events.Event) -> Commands:
        if not isinstance(event, GateError) or not self._can_answer(event.stream_id):
            yield from super()._handle_event(event)
            return
        head = [(b":status", str(event.answer.status).encode()), *event.answer.headers]
        self.h2_conn.send_headers(event.stream_id, head)
        self.h2_conn.send_data(event.stream_id, event.answer.body, end_stream=True)
        yield commands.SendData(self.conn, self.h2_conn.data_to_send())

    def _can_answer(self, stream_id: int) -> bool:
        return self.is_open_for_us(stream_id) and not self.h2_conn.streams[stream_id].state_machine.headers_sent


class _ChunkedReader(ChunkedReader):
    """Chunked bodies whose trailers are dropped (RFC 9110 section 6.5.1); mitmproxy raises on them."""

    def __call__(self, buf: Any) -> Any:
        event = super().__call__(buf)
        return h11.EndOfMessage() if isinstance(event, h11.EndOfMessage) else event


def _error_response(status: int, _message: str = "") -> bytes:
    """For heads that are not requests. mitmproxy's message may quote the head, so it is not shown."""
    reason = _message if not _message.startswith(("Bad HTTP", "Invalid header")) else "this is not a valid HTTP request"
    return refusal(status=status, code="malformed", reason=reason).http1()


_make_body_reader = _http1.make_body_reader


def _body_reader(expected_size: int | None) -> Any:
    return _ChunkedReader() if expected_size is None else _make_body_reader(expected_size)


def _unchecked(_data: http.MessageData) -> None:
    """In place of a check that every field has its declared type, twice a request, meant for mitmproxy's own tests."""


def install(head_timeout_s: float) -> None:
    """Make mitmproxy use these layers, in all of this process. Raises AttributeError if it has no such names."""
    limits.head_timeout_s = head_timeout_s
    http.MessageData.__post_init__ = _unchecked  # type: ignore[method-assign]
    replaced = {
        (layers, "HttpStream"): GateStream,
        (layers, "Http1Server"): GateHttp1Server,
        (layers, "Http1Client"): GateHttp1Client,
        (layers, "Http2Server"): GateHttp2Server,
        (mode_servers, "ProxyConnectionHandler"): GateConnection,
        (_http1, "make_error_response"): _error_response,
        (_http1, "make_body_reader"): _body_reader,
    }
    for (module, name), ours in replaced.items():
        getattr(module, name)
        setattr(module, name, ours)


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


def refusing_layer(context: Context) -> layer.Layer:
    """The layer for a connection that nothing may come of."""
    return Refuse(context)
