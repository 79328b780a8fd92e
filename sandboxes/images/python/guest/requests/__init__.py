"""A module in the shape of `requests`, over the host's fetch: synchronous, bodies complete, no sockets."""

import http
from types import SimpleNamespace
from typing import Any

from requests import adapters, auth, exceptions, models, sessions, structures
from requests.exceptions import (
    ConnectionError,  # noqa: A004 (its name in requests)
    ConnectTimeout,
    HTTPError,
    JSONDecodeError,
    ReadTimeout,
    RequestException,
    Timeout,
    TooManyRedirects,
    URLRequired,
)
from requests.models import PreparedRequest, Response
from requests.sessions import Session, session

__version__ = "2.32.0+lockgate"
__all__ = [
    "ConnectTimeout",
    "ConnectionError",
    "HTTPError",
    "JSONDecodeError",
    "PreparedRequest",
    "ReadTimeout",
    "RequestException",
    "Response",
    "Session",
    "Timeout",
    "TooManyRedirects",
    "URLRequired",
    "adapters",
    "auth",
    "codes",
    "delete",
    "exceptions",
    "get",
    "head",
    "models",
    "options",
    "patch",
    "post",
    "put",
    "request",
    "session",
    "sessions",
    "structures",
]

codes = SimpleNamespace(**{status.name.lower(): int(status) for status in http.HTTPStatus})


def request(method: str, url: str, **options: Any) -> Response:
    """Send one request; see `Session.request`."""
    return Session().request(method, url, **options)


def get(url: str, params: Any = None, **options: Any) -> Response:
    """GET."""
    return Session().get(url, params=params, **options)


def options(url: str, **options: Any) -> Response:
    """OPTIONS."""
    return Session().options(url, **options)


def head(url: str, **options: Any) -> Response:
    """HEAD."""
    return Session().head(url, **options)


def post(url: str, data: Any = None, json: Any = None, **options: Any) -> Response:
    """POST."""
    return Session().post(url, data=data, json=json, **options)


def put(url: str, data: Any = None, **options: Any) -> Response:
    """PUT."""
    return Session().put(url, data=data, **options)


def patch(url: str, data: Any = None, **options: Any) -> Response:
    """PATCH."""
    return Session().patch(url, data=data, **options)


def delete(url: str, **options: Any) -> Response:
    """DELETE."""
    return Session().delete(url, **options)
