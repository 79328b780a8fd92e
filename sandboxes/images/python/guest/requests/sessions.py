"""`requests.Session` and the request functions, over the host's fetch."""

from typing import Any, Self
from urllib.parse import urlsplit

from lockgate.calls import FetchError
from lockgate.web import Response as Answer
from lockgate.web import exchange, request_of, with_params

from requests.auth import HTTPBasicAuth
from requests.exceptions import (
    ConnectionError,  # noqa: A004 (its name in requests)
    InvalidSchema,
    InvalidURL,
    MissingSchema,
    ReadTimeout,
    RequestException,
)
from requests.models import PreparedRequest, Response, multipart
from requests.structures import CaseInsensitiveDict

_FAILURES = {"timeout": ReadTimeout, "invalid_argument": InvalidURL, "limit": RequestException}


class Session:
    """Headers, parameters, authentication and cookies kept over several requests."""

    def __init__(self) -> None:
        self.headers = CaseInsensitiveDict()
        self.params: dict[str, Any] = {}
        self.auth: Any = None
        self.cookies: dict[str, str] = {}
        self.verify = True
        self.proxies: dict[str, str] = {}
        self.hooks: dict[str, Any] = {"response": []}
        self.max_redirects = 30
        self.trust_env = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def request(  # noqa: PLR0913, PLR0917 (the signature of requests)
        self,
        method: str,
        url: str,
        params: Any = None,
        data: Any = None,
        headers: Any = None,
        cookies: Any = None,
        files: Any = None,
        auth: Any = None,
        timeout: Any = None,
        allow_redirects: bool = True,  # noqa: FBT001, FBT002
        proxies: Any = None,  # noqa: ARG002
        hooks: Any = None,  # noqa: ARG002
        stream: Any = None,  # noqa: ARG002
        verify: Any = None,  # noqa: ARG002
        cert: Any = None,  # noqa: ARG002
        json: Any = None,
    ) -> Response:
        """Send a request and block for its response; `proxies`, `stream`, `verify` and `cert` change nothing."""
        merged = CaseInsensitiveDict({**self.headers, **(headers or {})})
        merged = CaseInsensitiveDict({name: value for name, value in merged.items() if value is not None})
        jar = {**self.cookies, **(cookies or {})}
        if jar and "cookie" not in merged:
            merged["Cookie"] = "; ".join(f"{name}={value}" for name, value in jar.items())
        if files:
            data, merged["Content-Type"] = multipart(data, files)
        full = with_params(with_params(_checked(str(url)), self.params), params)
        prepared = PreparedRequest(method.upper(), full, merged, data)
        _authenticate(prepared, auth or self.auth)
        response = _send(prepared, json=json, timeout=timeout, follow=allow_redirects)
        self.cookies.update(response.cookies)
        return response

    def get(self, url: str, **options: Any) -> Response:
        """GET."""
        return self.request("GET", url, **options)

    def options(self, url: str, **options: Any) -> Response:
        """OPTIONS."""
        return self.request("OPTIONS", url, **options)

    def head(self, url: str, **options: Any) -> Response:
        """HEAD; redirects are not followed unless asked."""
        return self.request("HEAD", url, **{"allow_redirects": False, **options})

    def post(self, url: str, data: Any = None, json: Any = None, **options: Any) -> Response:
        """POST."""
        return self.request("POST", url, data=data, json=json, **options)

    def put(self, url: str, data: Any = None, **options: Any) -> Response:
        """PUT."""
        return self.request("PUT", url, data=data, **options)

    def patch(self, url: str, data: Any = None, **options: Any) -> Response:
        """PATCH."""
        return self.request("PATCH", url, data=data, **options)

    def delete(self, url: str, **options: Any) -> Response:
        """DELETE."""
        return self.request("DELETE", url, **options)

    def mount(self, prefix: str, adapter: Any) -> None:
        """Accept and ignore: there are no adapters here."""

    def close(self) -> None:
        """Nothing is open."""


def _checked(url: str) -> str:
    scheme = urlsplit(url).scheme
    if not scheme:
        raise MissingSchema(f"Invalid URL {url!r}: No scheme supplied. Perhaps you meant https://{url}?")
    if scheme not in ("http", "https"):
        raise InvalidSchema(f"No connection adapters were found for {url!r}")
    return url


def _authenticate(prepared: PreparedRequest, auth: Any) -> None:
    if isinstance(auth, (tuple, list)):
        auth = HTTPBasicAuth(*auth)
    if auth is not None:
        auth(prepared)


def _send(prepared: PreparedRequest, *, json: Any, timeout: Any, follow: bool) -> Response:
    if isinstance(timeout, (tuple, list)):
        timeout = None if None in timeout else sum(timeout)
    try:
        request = request_of(
            prepared.url,
            method=prepared.method,
            headers=prepared.headers,
            body=prepared.body,
            json=json,
            timeout=timeout,
            redirect="follow" if follow else "manual",
        )
        prepared.body = request["body"]
        return Response(Answer(exchange(request)), prepared)
    except FetchError as error:
        raise _FAILURES.get(error.code, ConnectionError)(str(error), request=prepared) from error


def session() -> Session:
    """A new Session."""
    return Session()
