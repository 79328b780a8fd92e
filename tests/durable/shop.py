"""An upstream with orders that can be placed and cancelled, from a document in a file that tests may change."""

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

REFUSED = 13
"""An order of this amount is answered with 409."""

_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
_OK = {"200": {"description": "done", "content": {"application/json": {"schema": {"type": "object"}}}}}
_ORDER = {
    "type": "object",
    "properties": {
        "amount": {"type": "integer"},
        "items": {"type": "array", "items": {"type": "string"}},
        "password": {"type": "string"},
    },
    "required": ["amount"],
}


def document(note: str = "") -> dict[str, Any]:
    body = {"required": True, "content": {"application/json": {"schema": _ORDER}}}
    place = {"operationId": "place", "summary": "Places an order.", "description": note, "requestBody": body}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Shop", "version": "1"},
        "paths": {
            "/orders": {
                "get": {"operationId": "orders", "responses": _OK},
                "post": {**place, "responses": _OK},
            },
            "/orders/{id}": {"delete": {"operationId": "cancel", "parameters": [_ID], "responses": _OK}},
            "/notes": {"post": {"operationId": "note", "requestBody": body, "responses": _OK}},
        },
    }


@dataclass(slots=True)
class Shop:
    """What was asked, in order: method, path and body."""

    port: int = 0
    asked: list[tuple[str, str, Any]] = field(default_factory=list)
    placed: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def take(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        if method == "GET":
            return 200, {"placed": self.placed}
        if isinstance(body, dict) and body.get("amount") == REFUSED:
            return 409, {"message": "not this amount"}
        self.placed += method == "POST"
        return 200, {"id": self.placed, "amount": body["amount"] if body else 0}

    @property
    def writes(self) -> list[tuple[str, str, Any]]:
        return [each for each in self.asked if each[0] != "GET"]


@contextlib.contextmanager
def shop() -> Iterator[Shop]:
    """One that serves."""
    kept = Shop()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length") or 0))
            status, answer = kept.take(self.command, self.path, json.loads(sent) if sent else None)
            data = json.dumps(answer).encode()
            with contextlib.suppress(OSError):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815 - names of http.server

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        kept.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, name="shop")
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()


def write_shop_config(
    directory: Path, port: int, rules: list[dict[str, Any]], *, note: str = "", version: int = 1, **more: Any
) -> Path:
    """lockgate.yaml with the shop, whose document says `note`, and a profile `shop` with these approval rules."""
    profile = {
        "name": "shop",
        "version": version,
        "languages": ["javascript", "python"],
        "environments": ["dev"],
        "limits": {"wall_ms": 30_000},
        "tools": {"allow": ["shop.*"]},
        "egress": {
            "rules": [
                {
                    "name": "shop",
                    "hosts": ["shop.test.internal"],
                    "ports": [port],
                    "schemes": ["http"],
                    "methods": ["GET", "POST"],
                    "paths": ["/**"],
                    "networks": ["127.0.0.1/32"],
                }
            ]
        },
        "approvals": {"rules": rules},
    }
    directory.joinpath("profiles").mkdir(exist_ok=True)
    directory.joinpath("profiles", "shop.yaml").write_text(yaml.safe_dump(profile))
    directory.joinpath("shop.json").write_text(json.dumps(document(note)))
    config = {
        "profiles": ["profiles"],
        "upstreams": {
            "shop": {
                "kind": "openapi",
                "document": "shop.json",
                "base_url": f"http://127.0.0.1:{port}",
                "networks": ["127.0.0.1/32"],
                "inverses": {"place": {"tool": "cancel", "arguments": {"id": "/result/id"}}},
            }
        },
        "hosts": {"shop.test.internal": "127.0.0.1"},
        **more,
    }
    path = directory / "lockgate.yaml"
    path.write_text(yaml.safe_dump(config))
    return path
