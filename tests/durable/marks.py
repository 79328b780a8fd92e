"""An upstream that remembers each request it has had, and can be told to keep some waiting."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HELD = "hold"
"""Marks whose name begins so are not answered before `release`."""

LARGE = "large"
"""Answers to names that begin so have three mebibytes."""

_NAME = {"name": "name", "in": "query", "required": True, "schema": {"type": "string"}}
_OBJECT = {"200": {"description": "done", "content": {"application/json": {"schema": {"type": "object"}}}}}
DOCUMENT = {
    "openapi": "3.1.0",
    "info": {"title": "Marks", "version": "1"},
    "paths": {
        "/look": {"get": {"operationId": "look", "parameters": [_NAME], "responses": _OBJECT}},
        "/mark": {"post": {"operationId": "mark", "parameters": [_NAME], "responses": _OBJECT}},
        "/unmark": {"post": {"operationId": "unmark", "parameters": [_NAME], "responses": _OBJECT}},
    },
}


@dataclass(slots=True)
class Marks:
    """What arrived: reads and writes by name, in order; the key each write came with."""

    url: str = ""
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    arrived: threading.Condition = field(default_factory=threading.Condition)
    released: threading.Event = field(default_factory=threading.Event)

    def release(self) -> None:
        """Answer what is held, and hold nothing any more."""
        self.released.set()

    def wait_for(self, name: str, times: int = 1) -> None:
        """Until a request of this name has arrived so often."""
        with self.arrived:
            met = self.arrived.wait_for(lambda: (self.reads + self.writes).count(name) >= times, timeout=30)
        assert met, f"{name} did not arrive {times} times: {self.reads} {self.writes}"

    def take(self, method: str, name: str, key: str) -> dict[str, Any]:
        """One request and its answer."""
        with self.arrived:
            (self.reads if method == "GET" else self.writes).append(name)
            self.keys.append(key)
            count = (self.reads + self.writes).count(name)
            self.arrived.notify_all()
        if name.startswith(HELD):
            self.released.wait(30)
        large = {"data": "x" * (3 << 20)} if name.startswith(LARGE) else {}
        return {"name": name, "count": count, **large}


@contextlib.contextmanager
def marks() -> Iterator[Marks]:
    """One that serves."""
    kept = Marks()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            path, _, query = self.path.partition("?")
            self.rfile.read(int(self.headers.get("content-length") or 0))
            if path == "/openapi.json":
                answer: Any = DOCUMENT
            else:
                answer = kept.take(self.command, query.removeprefix("name="), self.headers.get("idempotency-key", ""))
            data = json.dumps(answer).encode()
            with contextlib.suppress(OSError):
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_POST = _serve  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 256

    with Server(("127.0.0.1", 0), Handler) as server:
        kept.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, name="marks")
        thread.start()
        try:
            yield kept
        finally:
            kept.release()
            server.shutdown()
            thread.join()
