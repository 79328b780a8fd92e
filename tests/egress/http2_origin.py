"""An upstream that speaks HTTP/2, for what only HTTP/2 has: trailers and streams that are reset."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

import h2.config
import h2.connection
import h2.events
import h2.exceptions

Fields = list[tuple[str, str]]
Handler = Callable[[str], tuple[Fields, list[bytes], Fields]]


class Http2Origin:
    """`handler` gives head, pieces of the body and trailers for a path."""

    def __init__(self, handler: Handler, context: ssl.SSLContext) -> None:
        self.handler = handler
        context.set_alpn_protocols(["h2"])
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, h2.exceptions.ProtocolError), self._tls(connection) as secure:
            server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
            server.initiate_connection()
            secure.sendall(server.data_to_send())
            while data := secure.recv(65536):
                for event in server.receive_data(data):
                    if isinstance(event, h2.events.RequestReceived):
                        self._answer(server, event)
                secure.sendall(server.data_to_send())

    def _tls(self, connection: socket.socket) -> ssl.SSLSocket:
        return self._context.wrap_socket(connection, server_side=True)

    def _answer(self, server: h2.connection.H2Connection, event: h2.events.RequestReceived) -> None:
        path = dict(event.headers)[b":path"].decode()
        head, pieces, trailers = self.handler(path)
        server.send_headers(event.stream_id, head)
        for piece in pieces:
            server.send_data(event.stream_id, piece)
        if trailers:
            server.send_headers(event.stream_id, trailers, end_stream=True)
        else:
            server.end_stream(event.stream_id)
