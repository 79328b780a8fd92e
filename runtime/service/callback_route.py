"""`POST /approvals/decide`: decisions signed with the callback key, without the API's token."""

from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.governance.approvals import Approvals, NoSuchApprovalError
from runtime.governance.callback import MOST_BODY, CallbackRefusedError, Callbacks
from runtime.governance.verdict import DecisionRefusedError
from runtime.service.auth import PRINCIPAL
from runtime.store.errors import StoreError

PATH: Final = "/approvals/decide"


class BesideCallback:
    """An application with the callback beside it: the callback has its own way to prove who sends, and no other."""

    def __init__(self, app: ASGIApp, approvals: Approvals, callbacks: Callbacks) -> None:
        self._app = app
        self._callback = callback_route(approvals, callbacks)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One ASGI connection."""
        is_callback = scope["type"] == "http" and scope["path"] == PATH
        await (self._callback.handle if is_callback else self._app)(scope, receive, send)


def callback_route(approvals: Approvals, callbacks: Callbacks) -> Route:
    """The route."""

    async def decide(request: Request) -> JSONResponse:
        message_id = ""
        try:
            message_id, approval_id, said = callbacks.read(request.headers, await _bounded(request))
            (decided,) = await approvals.decide(PRINCIPAL, [(approval_id, said)])
        except CallbackRefusedError as error:
            return _refused(error.status, "REFUSED", str(error))
        except NoSuchApprovalError:
            return _refused(404, "NO_SUCH_APPROVAL", "there is no such approval")
        except DecisionRefusedError as error:
            return _refused(409, error.code, str(error))
        except StoreError as error:
            callbacks.forget(message_id)
            return _refused(503, "STORE_UNAVAILABLE", str(error))
        return JSONResponse({"approval_id": decided.row.id, "state": decided.row.state})

    return Route(PATH, decide, methods=["POST"])


async def _bounded(request: Request) -> bytes:
    """The body. Raises CallbackRefusedError for one that is too large, before it is all there."""
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MOST_BODY:
                raise CallbackRefusedError(413, f"the body has more than {MOST_BODY} bytes")
    except ClientDisconnect:
        raise CallbackRefusedError(400, "the body ended early") from None
    return body


def _refused(status: int, reason: str, message: str) -> JSONResponse:
    return JSONResponse({"error": reason, "message": message}, status_code=status)
