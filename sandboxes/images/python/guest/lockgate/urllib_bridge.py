"""`urllib.request.urlopen` through the host; `http.client` refuses, naming what to use."""

import email.message
import http.client
import io
import urllib.error
import urllib.request
from typing import Any

from lockgate.calls import FetchError
from lockgate.web import Response, exchange, request_of

_ADVICE = "there are no sockets in this sandbox: use await fetch(...), requests or urllib.request.urlopen"
_HOP_HEADERS = {"host", "connection", "content-length", "transfer-encoding"}


def _open(_handler: Any, request: urllib.request.Request) -> Any:
    headers = {**request.unredirected_hdrs, **request.headers}
    timeout = request.timeout if isinstance(getattr(request, "timeout", None), (int, float)) else None
    try:
        answer = exchange(
            request_of(
                request.full_url,
                method=request.get_method(),
                headers={name: value for name, value in headers.items() if name.lower() not in _HOP_HEADERS},
                body=request.data,
                timeout=timeout,
            )
        )
    except FetchError as error:
        reason = TimeoutError(str(error)) if error.code == "timeout" else error
        raise urllib.error.URLError(reason) from error
    return _response(Response(answer))


def _response(answer: Response) -> Any:
    message = email.message.Message()
    for name, value in answer.headers.fields:
        message[name] = value
    response = urllib.response.addinfourl(io.BytesIO(answer.content), message, answer.url, answer.status)
    response.msg = response.reason = answer.status_text
    response.version = 11
    response.getheader = lambda name, default=None: message.get(name, default)
    response.getheaders = message.items
    return response


class HTTPHandler(urllib.request.AbstractHTTPHandler):
    """Both schemes in one handler."""

    http_open = https_open = _open
    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_


class HTTPSHandler(HTTPHandler):
    """The same; whatever TLS context is given is not used."""

    def __init__(self, debuglevel: object = None, context: object = None, check_hostname: object = None) -> None:  # noqa: ARG002
        super().__init__()


def _refuse(self: Any) -> None:  # noqa: ARG001
    raise OSError(_ADVICE)


class HTTPSConnection(http.client.HTTPConnection):
    """There, so that it can refuse by name."""


def install() -> None:
    """Route urllib and stop http.client; once, before the snapshot."""
    urllib.request.HTTPHandler = HTTPHandler
    urllib.request.HTTPSHandler = HTTPSHandler
    http.client.HTTPConnection.connect = _refuse
    http.client.HTTPSConnection = HTTPSConnection
