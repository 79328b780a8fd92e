"""Serves an ASGI application on a loopback port of the system's choice and says which in one line."""

import json
import socket
from typing import Any, override

import uvicorn
from starlette.applications import Starlette


class _Server(uvicorn.Server):
    """Prints its ready line once connections are accepted."""

    def __init__(self, config: uvicorn.Config, ready: dict[str, Any]) -> None:
        super().__init__(config)
        self._ready = ready

    @override
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        print(json.dumps({"ready": True, **self._ready}), flush=True)  # noqa: T201 - the caller waits for it


def serve(name: str, application: Starlette, host: str = "127.0.0.1") -> None:
    """Serves until SIGTERM or SIGINT. The ready line is `{"ready": true, "name": .., "url": "http://host:port"}`."""
    listener = socket.create_server((host, 0))
    url = f"http://{host}:{listener.getsockname()[1]}"
    config = uvicorn.Config(application, log_level="warning", access_log=False, server_header=False)
    _Server(config, {"name": name, "url": url}).run(sockets=[listener])
