"""An upstream that is an OpenAPI document and the API behind it."""

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from runtime.execution.hostcall import CallContext, HostCallError, current_call_key
from runtime.execution.literal_request import Preview
from runtime.portal.arguments import checked_arguments
from runtime.portal.document_cache import DocumentCache
from runtime.portal.http_call import HttpBounds, HttpRequest, HttpSend
from runtime.portal.http_retry import RetryPolicy
from runtime.portal.openapi import OpenApiProblem, OpenApiTools, load_openapi, openapi_tools
from runtime.portal.openapi_call import Api, build_request, call_openapi
from runtime.portal.openapi_document import MAX_BYTES, parse_openapi
from runtime.portal.openapi_servers import base_of, place_tools, scheme_of
from runtime.portal.preview import http_request, preview_of
from runtime.portal.tool import Tool, ToolReply
from runtime.portal.upstream import Publish, ServiceToken, earliest
from runtime.portal.upstream_state import Backoff, Phase, UpstreamState, reason_of
from sandboxes.upstream import OpenApiUpstream

log = logging.getLogger(__name__)

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
        cache: DocumentCache | None = None,
        check_s: float = 5.0,
    ) -> None:
        self.name = name
        self._config = config
        self._send = send
        self._service_token = service_token
        self._backoff = backoff
        self._cache = cache
        self._check_s = check_s
        self._rules = {scheme: rules.digest() for scheme, rules in config.rule_sets(name).items()}
        self._digest = b""
        self._title = config.document if self._is_remote else Path(config.document).name

    async def run(self, publish: Publish) -> None:
        """Load until it works; then again when the file changes, or a URL's time is over."""
        failures = 0
        while True:
            version = await self._version()
            state, loaded = await self._load()
            failures = 0 if state.phase == "ready" else failures + 1
            state = replace(state, failures=failures)
            if loaded is None:
                # Tools that were read before stay: a document that is gone says nothing of the API.
                publish(self.name, state)
            else:
                publish(self.name, state, loaded.tools, loaded.skipped)
            await self._until_worthwhile(state, version, failures)

    async def call(self, tool: Tool, arguments: Any, context: CallContext) -> ToolReply:
        """One request, at most three with redirects under the same origin."""
        bounds = HttpBounds(
            token=context.token(self._rules[scheme_of(self._config, tool)]),
            deadline=earliest(context, self._config.call_timeout_ms / 1_000),
            max_response_bytes=context.max_response_bytes,
        )
        api = Api(
            base_url=base_of(self._config, tool),
            headers=self._headers(tool),
            send=self._send,
            retry=RetryPolicy(retries=self._config.retries, budget_s=self._config.retry_budget_ms / 1_000),
            language=context.language,
        )
        return await call_openapi(tool, arguments, api, bounds)

    def repeatable(self, tool: Tool) -> bool:
        """Whether a call made twice with the same key has its effect once."""
        return tool.read_only or self._config.idempotency_header is not None

    def _headers(self, tool: Tool) -> Mapping[str, str]:
        """With every call, and with one that may change something the key it is known by."""
        name, key = self._config.idempotency_header, current_call_key.get()
        return (
            self._config.headers if name is None or not key or tool.read_only else {**self._config.headers, name: key}
        )

    def preview(self, tool: Tool, arguments: Any, context: CallContext) -> Preview:
        """The request that `call` would begin with. Raises HostCallError."""
        checked = checked_arguments(tool, arguments, context.language)
        base = base_of(self._config, tool)
        request = build_request(tool, checked, base_url=base, headers=self._config.headers)
        return preview_of(tool, checked, http_request(request), base, self._config.inverses)

    async def _load(self) -> tuple[UpstreamState, OpenApiTools | None]:
        try:
            data = await self._read()
            digest = hashlib.sha256(data).digest()
            if digest == self._digest:
                return UpstreamState(phase="ready"), None
            placed = place_tools(self._config, await asyncio.to_thread(self._understood, data))
            self._digest = digest
        except (OpenApiProblem, FileNotFoundError, IsADirectoryError, PermissionError) as problem:
            return self._failed("broken", reason_of(problem)), None
        except (HostCallError, OSError) as error:
            return self._failed("down", reason_of(error)), None
        except Exception as error:  # noqa: BLE001 - a document may break one upstream and nothing else
            return self._failed("broken", f"{self._title}: {reason_of(error)}"), None
        return UpstreamState(phase="ready"), placed

    def _failed(self, phase: Phase, reason: str) -> UpstreamState:
        """Callers read the reason; where a document lies on this machine is for the log."""
        log.warning("upstream %s, document %s: %s", self.name, self._config.document, reason)
        return UpstreamState(phase=phase, reason=reason)

    def _understood(self, data: bytes) -> OpenApiTools:
        """The tools of a document, which is read from the cache where it was read before. Raises OpenApiProblem."""
        source = self._title
        if self._cache is None:
            return load_openapi(self.name, data, source, self._config.variables)
        key = self._cache.key(data)
        document = self._cache.find(key)
        if document is None:
            document = parse_openapi(data, source)
            self._cache.keep(key, document)
        return openapi_tools(self.name, document, source, self._config.variables)

    @property
    def _is_remote(self) -> bool:
        return self._config.document.startswith(("http://", "https://"))

    async def _read(self) -> bytes:
        if not self._is_remote:
            return await asyncio.to_thread(_read_file, self._config.document)
        bounds = HttpBounds(
            token=self._service_token(self.name, self._rules[""]),
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
        if self._is_remote:
            await asyncio.sleep(self._config.refresh_s)
            return
        while await self._version() == version:  # noqa: ASYNC110 - a file does not tell
            await asyncio.sleep(self._check_s)


def _read_file(path: str) -> bytes:
    found = Path(path)
    if found.stat().st_size > MAX_BYTES:
        raise OpenApiProblem(f"{found.name} has {found.stat().st_size} bytes; at most {MAX_BYTES} are read")
    return found.read_bytes()
