"""One request and its response: mitmproxy's stream, which goes nowhere but to its exchange's destination."""

from collections.abc import Generator
from typing import Any

from mitmproxy import http
from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http import GetHttpConnection, HttpStream, SendHttp
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

from .answers import Answer, refusal
from .dialer import REFUSED
from .exchange import Exchange
from .flow import BODILESS, RAW_TARGET, closed, exchange_of, response_of
from .patience import Phase
from .request import Denial

MAX_DISCARDED = 1024 * 1024
Commands = Generator[commands.Command, Any, Any]


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


def _answer(flow: http.HTTPFlow) -> Answer:
    exchange = exchange_of(flow)
    if exchange is None:
        return refusal(status=403, code="closed", reason=closed().reason)
    return exchange.answer or exchange.deny(closed())
