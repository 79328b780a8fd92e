"""`fetch`: HTTP through the host, which decides, adds credentials and sends."""

import base64
import json as json_module
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

from lockgate.calls import Call, FetchError, begin, error_from, payload_of
from lockgate.encode import to_base64, to_json
from lockgate.host import FETCH, FOREVER, calls

_REDIRECT = ("follow", "error", "manual")


class Headers(Mapping):
    """Header fields by name in any case; a repeated field's values are joined with a comma."""

    def __init__(self, fields: Iterable[Iterable[str]] = ()) -> None:
        self.fields = [(str(name), str(value)) for name, value in fields]
        self._joined: dict[str, str] = {}
        for name, value in self.fields:
            key = name.lower()
            self._joined[key] = f"{self._joined[key]}, {value}" if key in self._joined else value

    def __getitem__(self, name: str) -> str:
        return self._joined[name.lower()]

    def __iter__(self) -> Any:
        return iter(self._joined)

    def __len__(self) -> int:
        return len(self._joined)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._joined

    def __repr__(self) -> str:
        return repr(self._joined)

    def get_all(self, name: str) -> list[str]:
        """Every value of a repeated field."""
        return [value for field, value in self.fields if field.lower() == name.lower()]


class _Ready:
    """A value that is there already and may be awaited all the same."""

    def __await__(self) -> Any:
        return self._plain()
        yield

    def __call__(self) -> Any:
        return self


class Text(_Ready, str):
    """`response.text`, which may also be written `response.text()` and `await response.text()`."""

    __slots__ = ()

    def _plain(self) -> str:
        return str.__str__(self)


class Binary(_Ready, bytes):
    """`response.bytes`, which may also be written `response.bytes()` and `await response.bytes()`."""

    def _plain(self) -> bytes:
        return bytes(memoryview(self))


class _Dict(_Ready, dict):
    __call__ = None

    def _plain(self) -> dict:
        return dict(self)


class _List(_Ready, list):
    __call__ = None

    def _plain(self) -> list:
        return list(self)


class Response:
    """An HTTP response; its body is here, so nothing has to be awaited, though everything may be."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.status = int(value["status"])
        self.status_text = value.get("status_text") or ""
        self.url = value.get("url") or ""
        self.redirected = bool(value.get("redirected"))
        self.headers = Headers(value.get("headers") or ())
        body = value.get("body") or ""
        self.content = base64.b64decode(body) if value.get("body_base64") else body.encode(errors="surrogatepass")

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.url}>"

    @property
    def ok(self) -> bool:
        """Whether the status is 200 to 299."""
        return 200 <= self.status < 300  # noqa: PLR2004

    @property
    def status_code(self) -> int:
        """The same as `status`."""
        return self.status

    @property
    def reason(self) -> str:
        """The same as `status_text`."""
        return self.status_text

    @property
    def text(self) -> Text:
        """The body as text, by the charset of its content type, else UTF-8."""
        return Text(decoded(self.content, self.headers.get("content-type", "")))

    @property
    def bytes(self) -> Binary:
        """The body as bytes."""
        return Binary(self.content)

    read = array_buffer = bytes  # noqa: A003 (the property above is meant)

    def json(self) -> Any:
        """The body parsed as JSON; ValueError that quotes its start if it is none."""
        value = parsed(self.content, self.status, self.url)
        if type(value) is dict:
            return _Dict(value)
        if type(value) is list:
            return _List(value)
        return Text(value) if type(value) is str else value

    def raise_for_status(self) -> "Response":
        """Raise FetchError for a status of 400 or more."""
        if self.status >= 400:  # noqa: PLR2004
            raise FetchError(
                f"{self.url} answered {self.status} {self.status_text}".rstrip(),
                code="upstream_error",
                status=self.status,
                retryable=self.status in (429, 502, 503, 504),
                tool="fetch",
                details=str(self.text[:2000]),
            )
        return self


def decoded(content: bytes, content_type: str) -> str:
    """Text of a body."""
    charset = "utf-8"
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            charset = value.strip().strip("\"'")
    try:
        return content.decode(charset, "replace")
    except LookupError:
        return content.decode("utf-8", "replace")


def parsed(content: bytes, status: int, url: str) -> Any:
    """JSON of a body."""
    try:
        return json_module.loads(content)
    except ValueError as error:
        start = content[:200].decode("utf-8", "replace")
        raise json_module.JSONDecodeError(
            f"the response ({status} from {url}) is no JSON: {getattr(error, 'msg', error)}; it starts with {start!r}",
            getattr(error, "doc", ""),
            getattr(error, "pos", 0),
        ) from None


def fetch(  # noqa: PLR0913 (the request's fields)
    url: str,
    options: dict[str, Any] | None = None,
    *,
    method: str | None = None,
    headers: Any = None,
    body: Any = None,
    data: Any = None,
    json: Any = None,
    params: Any = None,
    timeout: float | None = None,
    redirect: str = "follow",
) -> Call:
    """Send a request at once; await the Response. `timeout` in seconds; FetchError if there is no response."""
    if options is not None:
        given = {"method": method, "headers": headers, "body": body, "data": data, "json": json, "params": params}
        given = {name: value for name, value in given.items() if value is not None}
        return fetch(url, **{"timeout": timeout, "redirect": redirect, **options, **given})
    if body is not None and data is not None:
        raise TypeError("fetch takes body or data, not both")
    request = request_of(
        url,
        method=method,
        headers=headers,
        body=data if body is None else body,
        json=json,
        params=params,
        timeout=timeout,
        redirect=redirect,
    )
    return begin(FETCH, "fetch", request, Response, FetchError)


def exchange(request: dict[str, Any]) -> dict[str, Any]:
    """Send a request and block for its answer; events that arrive meanwhile are delivered to their futures."""
    answer: list[tuple[bool, str]] = []
    payload = payload_of("fetch", request, FetchError)
    calls.submit(FETCH, "", payload, lambda ok, text: answer.append((ok, text)))
    while not answer:
        calls.wait(FOREVER)
    ok, text = answer[0]
    if not ok:
        raise error_from(FetchError, text, "fetch")
    return json_module.loads(text)


def request_of(  # noqa: PLR0913 (the request's fields)
    url: str,
    *,
    method: str | None = None,
    headers: Any = None,
    body: Any = None,
    json: Any = None,
    params: Any = None,
    timeout: float | None = None,
    redirect: str = "follow",
) -> dict[str, Any]:
    """The host's fetch request."""
    if redirect not in _REDIRECT:
        raise ValueError(f"redirect is {redirect!r}, which is none of {', '.join(_REDIRECT)}")
    fields = header_fields(headers)
    names = {name.lower() for name, _ in fields}
    content_type = None
    if json is not None:
        body, content_type = to_json(json, "json"), "application/json"
    elif isinstance(body, (dict, list, tuple)):
        body, content_type = urlencode(body, doseq=True), "application/x-www-form-urlencoded"
    if content_type and "content-type" not in names:
        fields.append(["content-type", content_type])
    text, is_base64 = _body(body)
    return {
        "url": with_params(str(url), params),
        "method": (method or ("GET" if body is None else "POST")).upper(),
        "headers": fields,
        "body": text,
        "body_base64": is_base64,
        "redirect": redirect,
        "timeout_ms": None if timeout is None else max(1, int(float(timeout) * 1000)),
    }


def header_fields(headers: Any) -> list[list[str]]:
    """Header fields from a mapping, pairs or Headers."""
    if headers is None:
        return []
    pairs = headers.fields if isinstance(headers, Headers) else headers
    pairs = pairs.items() if hasattr(pairs, "items") else pairs
    return [[_text(name), _text(value)] for name, value in pairs if value is not None]


def with_params(url: str, params: Any) -> str:
    """The URL with a query string of `params` (mapping, pairs or text) added to it."""
    if not params:
        return url
    if isinstance(params, (str, bytes)):
        query = _text(params)
    else:
        pairs = params.items() if hasattr(params, "items") else params
        query = urlencode([(name, value) for name, value in pairs if value is not None], doseq=True)
    parts = urlsplit(url)
    return urlunsplit(parts._replace(query=f"{parts.query}&{query}" if parts.query else query))


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _body(body: Any) -> tuple[str | None, bool]:
    if body is None or isinstance(body, str):
        return body, False
    if hasattr(body, "read"):
        return _body(body.read())
    if isinstance(body, (bytes, bytearray, memoryview)):
        data = bytes(body)
    elif isinstance(body, Iterable):
        data = b"".join(part.encode() if isinstance(part, str) else bytes(part) for part in body)
    else:
        raise TypeError(f"a request's body is text, bytes or a dict of form fields, not {type(body).__name__}")
    try:
        return data.decode(), False
    except UnicodeDecodeError:
        return to_base64(data), True
