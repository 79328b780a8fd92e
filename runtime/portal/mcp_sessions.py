"""Sessions over streamable HTTP, each with an event log of its own."""

from typing import Any, Final

from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings

from runtime.portal.mcp_events import EventLog, EventRoom

MAX_REQUEST_BYTES: Final = 16 << 20
MAX_SESSIONS: Final = 2_000
IDLE_S: Final = 1_800.0
RETRY_MS: Final = 1_000
_LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class Sessions(StreamableHTTPSessionManager):
    """The SDK's manager; it has one event store for all sessions, in which their streams would mix."""

    def __init__(self, server: Server[Any], host: str) -> None:
        super().__init__(
            server,
            security_settings=_security(host),
            retry_interval=RETRY_MS,
            session_idle_timeout=IDLE_S,
            max_request_body_size=MAX_REQUEST_BYTES,
            max_sessions=MAX_SESSIONS,
        )
        self._room = EventRoom()

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        transport = super()._admit_session(requestor)
        if transport is not None:
            transport._event_store = EventLog(self._room)  # noqa: SLF001 - the SDK has no public door to it
        return transport

    async def _discard_session(self, session_id: str, transport: StreamableHTTPServerTransport) -> None:
        await super()._discard_session(session_id, transport)
        if isinstance(log := transport._event_store, EventLog):  # noqa: SLF001 - as above
            log.close()


def _security(host: str) -> TransportSecuritySettings | None:
    """On loopback, Host and Origin have to be loopback's too; elsewhere the bearer token is the wall."""
    if host not in {"127.0.0.1", "localhost", "::1"}:
        return None
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[f"{name}:*" for name in _LOOPBACK],
        allowed_origins=[f"http://{name}:*" for name in _LOOPBACK],
    )
