"""HTTP/2 towards clients in tunnels."""

from mitmproxy.proxy import commands, events
from mitmproxy.proxy.layers.http._http2 import Http2Server

from .stream import Commands, GateError


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
