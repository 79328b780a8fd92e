"""An upstream that is an OpenAPI document and the API behind it."""

import asyncio
import os
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urljoin

from runtime.execution.hostcall import CallContext, HostCallError
from runtime.portal.http_call import HttpBounds, HttpRequest, HttpSend
from runtime.portal.openapi import OpenApiProblem, OpenApiTools, load_openapi
from runtime.portal.openapi_call import Api, call_openapi
from runtime.portal.openapi_document import MAX_BYTES
from runtime.portal.openapi_operation import HttpBinding
from runtime.portal.tool import SkippedTool, Tool, ToolReply
from runtime.portal.upstream import Publish, ServiceToken, earliest
from runtime.portal.upstream_state import Backoff, UpstreamState, reason_of
from sandboxes.upstream import OpenApiUpstream

LOAD_TIMEOUT_S: Final = 60.0


class OpenApiService:
    """Loads the document, reads a changed file again, and makes the calls."""

    def __init__(  # noqa: PLR0913 - what it is, and its ways out
        self,
        name: str,
        config: OpenApiUpstream,
        *,
        send: HttpSend,
        service_token: ServiceToken,
        backoff: Backoff,
        check_s: float = 5.0,
    ) -> None:
        self.name = name
        self._config = config
        self._send = send
        self._service_token = service_token
        self._backoff = backoff
        self._check_s = check_s
        self._base_url = config.base_url or ""
        self._rules = ""

    async def run(self, publish: Publish) -> None:
        """Load until it works; then, for a file, again whenever it changes."""
        failures = 0
        while True:
            version = await self._version()
            state, loaded = await self._load()
            failures = 0 if state.phase == "ready" else failures + 1
            if loaded is None:
                publish(self.name, state)
            else:
                publish(self.name, state, *self._usable(loaded))
            await self._until_worthwhile(state, version, failures)

    async def call(self, tool: Tool, arguments: Any, context: CallContext) -> ToolReply:
        """One request, at most three with redirects under the same origin."""
        bounds = HttpBounds(
            token=context.token(self._rules),
            deadline=earliest(context, self._config.call_timeout_ms / 1_000),
            max_response_bytes=context.max_response_bytes,
        )
        api = Api(base_url=self._base_of(tool), headers=self._config.headers, send=self._send)
        return await call_openapi(tool, arguments, api, bounds)

    def _base_of(self, tool: Tool) -> str:
        """An operation's own server counts only where the operator named no base URL."""
        binding: HttpBinding = tool.binding
        if self._config.base_url is None and binding.server is not None:
            return urljoin(f"{self._base_url}/", binding.server)
        return self._base_url

    async def _load(self) -> tuple[UpstreamState, OpenApiTools | None]:
        try:
            data = await self._read()
            loaded = await asyncio.to_thread(load_openapi, self.name, data, self._config.document)
            self._settle(loaded)
        except (OpenApiProblem, FileNotFoundError, IsADirectoryError, PermissionError) as problem:
            return UpstreamState(phase="broken", reason=reason_of(problem)), None
        except (HostCallError, OSError) as error:
            return UpstreamState(phase="down", reason=reason_of(error)), None
        except Exception as error:  # noqa: BLE001 - a document may break one upstream and nothing else
            return UpstreamState(phase="broken", reason=f"{self._config.document}: {reason_of(error)}"), None
        return UpstreamState(phase="ready"), loaded

    def _settle(self, loaded: OpenApiTools) -> None:
        """Decide the base URL and with it the egress rules. Raises OpenApiProblem."""
        if self._config.base_url is None:
            servers = tuple(self._absolute(server) for server in loaded.servers[:1])
            if not servers or not servers[0].startswith(("http://", "https://")):
                raise OpenApiProblem(f"{self._config.document} does not say where its API is; write base_url")
            self._base_url = servers[0]
        try:
            self._rules = self._config.rule_set(self.name, self._servers(loaded)).digest()
        except ValueError as error:
            raise OpenApiProblem(f"{self._config.document}: {error}") from None

    def _servers(self, loaded: OpenApiTools) -> tuple[str, ...]:
        return document_servers(self._config, loaded)

    def _absolute(self, server: str) -> str:
        return urljoin(self._config.document, server) if self._is_remote else server

    def _usable(self, loaded: OpenApiTools) -> tuple[tuple[Tool, ...], tuple[SkippedTool, ...]]:
        return loaded.tools, loaded.skipped

    @property
    def _is_remote(self) -> bool:
        return self._config.document.startswith(("http://", "https://"))

    async def _read(self) -> bytes:
        if not self._is_remote:
            return await asyncio.to_thread(_read_file, self._config.document)
        rules = self._config.rule_set(self.name).digest()
        bounds = HttpBounds(
            token=self._service_token(self.name, rules),
            deadline=time.monotonic() + LOAD_TIMEOUT_S,
            max_response_bytes=MAX_BYTES,
        )
        request = HttpRequest(method="GET", url=self._config.document, headers=(("accept", "application/json, */*"),))
        reply = await self._send(request, bounds)
        if reply.status != 200:  # noqa: PLR2004 - RFC 9110, 15.3.1
            raise HostCallError("unavailable", f"{self._config.document} answered {reply.status}")
        return reply.body

    async def _version(self) -> object:
        """What changes when the file does. None for a URL or a file that is not there."""
        if self._is_remote:
            return None
        try:
            found = await asyncio.to_thread(os.stat, self._config.document)
        except OSError:
            return None
        return (found.st_mtime_ns, found.st_size, found.st_ino)

    async def _until_worthwhile(self, state: UpstreamState, version: object, failures: int) -> None:
        """Return when loading again may give something else."""
        if state.phase == "down" or (self._is_remote and state.phase != "ready"):
            await asyncio.sleep(self._backoff.wait_s(failures))
            return
        while self._is_remote or await self._version() == version:  # noqa: ASYNC110 - a file does not tell
            await asyncio.sleep(self._check_s)


def document_servers(config: OpenApiUpstream, loaded: OpenApiTools) -> tuple[str, ...]:
    """The origins the document itself names: its first server, and those of single operations."""
    own = (tool.binding.server for tool in loaded.tools if tool.binding.server is not None)
    first = loaded.servers[:1]
    base = config.document if config.document.startswith(("http://", "https://")) else ""
    absolute = [urljoin(base, server) if base else server for server in (*first, *own)]
    return tuple(dict.fromkeys(server for server in absolute if server.startswith(("http://", "https://"))))


def _read_file(path: str) -> bytes:
    found = Path(path)
    if found.stat().st_size > MAX_BYTES:
        raise OpenApiProblem(f"{path} has {found.stat().st_size} bytes; at most {MAX_BYTES} are read")
    return found.read_bytes()
