"""The MCP server over streamable HTTP: a Starlette application behind a bearer token."""

from collections.abc import Callable
from typing import Any, Final

from mcp.server.lowlevel.server import Server
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

PATH: Final = "/mcp"
MAX_REQUEST_BYTES: Final = 16 << 20
_PRINCIPAL: Final = "lockgate.principal"

# Takes a bearer token to whom it proves, None where it proves nobody.
type BearerCheck = Callable[[str], str | None]


def principal_of(request: Any) -> str:
    """Whom the token of a request proved; empty where there is no request."""
    return str(request.scope.get(_PRINCIPAL, "")) if request is not None else ""


def portal_app(server: Server[Any], check: BearerCheck, host: str = "127.0.0.1") -> Starlette:
    """The application, serving `/mcp`. Run it with its lifespan on; `host` is where it will listen.

    On a loopback host, requests whose Host or Origin is another site are refused (DNS rebinding).
    """
    app = server.streamable_http_app(streamable_http_path=PATH, host=host, max_request_body_size=MAX_REQUEST_BYTES)
    app.user_middleware.append(Middleware(BearerGate, check=check))
    return app


class BearerGate:
    """Lets nothing through without a valid bearer token."""

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
        await self._app({**scope, _PRINCIPAL: principal}, receive, send)

    def _principal(self, scope: Scope) -> str | None:
        """Exactly one authorization header, or nobody."""
        given = [value for key, value in scope.get("headers", ()) if key == b"authorization"]
        if len(given) != 1:
            return None
        scheme, _, token = given[0].decode("latin-1").partition(" ")
        return self._check(token.strip()) if scheme.lower() == "bearer" else None
