"""The MCP servers over streamable HTTP: a Starlette application behind a bearer token."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, Final

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.lowlevel.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.portal.mcp_sessions import Sessions

PATH: Final = "/mcp"
READ_ONLY_PATH: Final = "/mcp/read-only"
_PRINCIPAL: Final = "lockgate.principal"

# Takes a bearer token to whom it proves, None where it proves nobody.
type BearerCheck = Callable[[str], str | None]


def principal_of(request: Any) -> str:
    """Whom the token of a request proved; empty where there is no request."""
    return str(request.scope.get(_PRINCIPAL, "")) if request is not None else ""


def portal_app(servers: Mapping[str, Server[Any]], check: BearerCheck, host: str = "127.0.0.1") -> Starlette:
    """The application, each server under its path. Run it with its lifespan on; `host` is where it will listen.

    On a loopback host, requests whose Host or Origin is another site are refused (DNS rebinding).
    """
    sessions = {path: Sessions(server, host) for path, server in servers.items()}

    @contextlib.asynccontextmanager
    async def running(_: Starlette) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for each in sessions.values():
                await stack.enter_async_context(each.run())
            yield

    return Starlette(
        routes=[Route(path, endpoint=StreamableHTTPASGIApp(each)) for path, each in sessions.items()],
        middleware=[Middleware(BearerGate, check=check)],
        lifespan=running,
    )


class BearerGate:
    """Lets nothing through without a valid bearer token, and says whose it is: a session is its principal's alone."""

    def __init__(self, app: ASGIApp, check: BearerCheck) -> None:
        self._app = app
        self._check = check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        principal = self._principal(scope)
        if scope["type"] != "http" or principal is None:
            refusal = JSONResponse(
                {"error": "unauthorized", "message": "send Authorization: Bearer with the token of this Lockgate"},
                status_code=401,
                headers={"www-authenticate": 'Bearer realm="lockgate"'},
            )
            await refusal(scope, receive, send)
            return
        user = AuthenticatedUser(AccessToken(token="", client_id=principal, scopes=[]))
        await self._app({**scope, _PRINCIPAL: principal, "user": user}, receive, send)

    def _principal(self, scope: Scope) -> str | None:
        """Exactly one authorization header, or nobody."""
        given = [value for key, value in scope.get("headers", ()) if key == b"authorization"]
        if len(given) != 1:
            return None
        scheme, _, token = given[0].decode("latin-1").partition(" ")
        return self._check(token.strip()) if scheme.lower() == "bearer" else None
