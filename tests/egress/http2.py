"""A client that speaks HTTP/2 inside a tunnel of the proxy."""

from collections.abc import Sequence

import h2.config
import h2.connection
import h2.events

from tests.egress.lab import Lab, Reply, Wire

# What is sent goes out as it was given, however wrong.
_LAX = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
Fields = Sequence[tuple[str, str]]


def request(
    lab: Lab,
    authority: str,
    token: str,
    *,
    method: str = "GET",
    path: str = "/",
    headers: Fields = (),
    body: bytes | None = None,
    trailers: Fields = (),
) -> Reply:
    """One request; status 0 if the proxy reset its stream or closed."""
    wire = lab.secure(lab.tunnel(authority, token), authority.rpartition(":")[0], ["h2"])
    return exchange(wire, authority, method=method, path=path, headers=headers, body=body, trailers=trailers)


def exchange(
    wire: Wire,
    authority: str,
    *,
    method: str = "GET",
    path: str = "/",
    headers: Fields = (),
    body: bytes | None = None,
    trailers: Fields = (),
    pseudo: Fields = (),
) -> Reply:
    """The same on a wire whose TLS stands; it is closed afterwards."""
    client = h2.connection.H2Connection(_LAX)
    client.initiate_connection()
    pseudo = pseudo or [(":method", method), (":scheme", "https"), (":path", path), (":authority", authority)]
    client.send_headers(1, [*pseudo, *headers], end_stream=body is None)
    made = _Exchange(wire, client, body, trailers)
    try:
        made.run()
    finally:
        wire.close()
    return made.reply


class _Exchange:
    """Sends the body as flow control lets it, and reads the answer."""

    def __init__(self, wire: Wire, client: h2.connection.H2Connection, body: bytes | None, trailers: Fields) -> None:
        self.reply = Reply(0, [], b"")
        self._wire, self._client, self._trailers = wire, client, trailers
        self._rest = body
        self._ended = False

    def run(self) -> None:
        self._send()
        while not self._ended and (data := self._wire.received()):
            for event in self._client.receive_data(data):
                self._take(event)
            self._send()

    def _send(self) -> None:
        while self._rest is not None and not self._ended and self._window():
            piece, self._rest = self._rest[: self._window()], self._rest[self._window() :]
            self._client.send_data(1, piece, end_stream=not self._rest and not self._trailers)
            if not self._rest:
                self._rest = None
                if self._trailers:
                    self._client.send_headers(1, list(self._trailers), end_stream=True)
        self._wire.send(self._client.data_to_send())

    def _window(self) -> int:
        return min(self._client.local_flow_control_window(1), 16384)

    def _take(self, event: h2.events.Event) -> None:
        match event:
            case h2.events.ResponseReceived():
                said = [(name.decode(), value.decode()) for name, value in event.headers]
                self.reply = Reply(int(dict(said)[":status"]), said, b"")
            case h2.events.DataReceived():
                self.reply.body += event.data
                self._client.acknowledge_received_data(event.flow_controlled_length, 1)
            case h2.events.TrailersReceived():
                self.reply.trailers = [(name.decode(), value.decode()) for name, value in event.headers]
            case h2.events.StreamReset():
                self.reply.reset = self._ended = True
            case h2.events.StreamEnded():
                self.reply.ended = self._ended = True
            case h2.events.ConnectionTerminated():
                self._ended = True
