"""Requests and responses in the shape of `requests`."""

import json as json_module
import secrets
from collections.abc import Iterator
from datetime import timedelta
from http.cookies import CookieError, SimpleCookie
from typing import Any, Self

from lockgate.web import Response as Answer
from lockgate.web import decoded, parsed

from requests.exceptions import HTTPError, JSONDecodeError
from requests.structures import CaseInsensitiveDict

REDIRECTS = (301, 302, 303, 307, 308)


class PreparedRequest:
    """What was sent."""

    def __init__(self, method: str, url: str, headers: CaseInsensitiveDict, body: Any) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body


class Response:
    """What came back; the body is here already, `stream=True` or not."""

    def __init__(self, answer: Answer, request: PreparedRequest) -> None:
        self.status_code = answer.status
        self.reason = answer.status_text
        self.url = answer.url or request.url
        self.headers = CaseInsensitiveDict({name: answer.headers[name] for name, _ in answer.headers.fields})
        self.content = answer.content
        self.cookies = cookies_of(answer)
        self.request = request
        self.history: list[Response] = []
        self.elapsed = timedelta(0)
        self.encoding = _encoding(self.headers.get("content-type", ""))
        self.raw = None

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"

    def __bool__(self) -> bool:
        return self.ok

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        return self.iter_content(128)

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status_code < 400  # noqa: PLR2004

    @property
    def is_redirect(self) -> bool:
        """Whether the response points elsewhere."""
        return "location" in self.headers and self.status_code in REDIRECTS

    @property
    def apparent_encoding(self) -> str:
        """UTF-8."""
        return "utf-8"

    @property
    def text(self) -> str:
        """The body as text."""
        return decoded(self.content, f"; charset={self.encoding or 'utf-8'}")

    def json(self, **options: Any) -> Any:
        """The body parsed as JSON."""
        try:
            if options:
                return json_module.loads(self.content, **options)
            return parsed(self.content, self.status_code, self.url)
        except json_module.JSONDecodeError as error:
            raise JSONDecodeError(error.msg, error.doc, error.pos, response=self) from None

    def raise_for_status(self) -> None:
        """Raise HTTPError for a status of 400 or more."""
        if self.ok:
            return
        side = "Client" if self.status_code < 500 else "Server"  # noqa: PLR2004
        message = f"{self.status_code} {side} Error: {self.reason} for url: {self.url}"
        raise HTTPError(message, response=self, request=self.request)

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:  # noqa: FBT001, FBT002
        """The body in pieces."""
        body = self.text if decode_unicode else self.content
        step = chunk_size or len(body) or 1
        return (body[start : start + step] for start in range(0, len(body), step))

    def iter_lines(
        self,
        chunk_size: int = 512,  # noqa: ARG002
        decode_unicode: bool = False,  # noqa: FBT001, FBT002
        delimiter: Any = None,
    ) -> Iterator[Any]:
        """The body in lines."""
        body = self.text if decode_unicode else self.content
        return iter(body.split(delimiter) if delimiter else body.splitlines())

    def close(self) -> None:
        """Nothing is open."""


def _encoding(content_type: str) -> str | None:
    for parameter in content_type.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip("\"'")
    return "utf-8" if content_type.startswith(("text/", "application/json")) else None


def cookies_of(answer: Answer) -> dict[str, str]:
    """Names and values of the cookies a response sets."""
    found: dict[str, str] = {}
    for line in answer.headers.get_all("set-cookie"):
        try:
            found.update({name: morsel.value for name, morsel in SimpleCookie(line).items()})
        except CookieError:
            continue
    return found


def multipart(data: Any, files: Any) -> tuple[bytes, str]:
    """Body and content type of a form with files."""
    boundary = secrets.token_hex(16)
    parts: list[bytes] = []
    fields = data.items() if hasattr(data, "items") else data or ()
    for name, value in fields:
        items = value if isinstance(value, (list, tuple)) else (value,)
        parts += [_part(boundary, f'name="{name}"', None, item) for item in items]
    for name, file in files.items() if hasattr(files, "items") else files:
        filename, content, kind = _file(name, file)
        parts.append(_part(boundary, f'name="{name}"; filename="{filename}"', kind, content))
    return b"".join(parts) + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"


def _file(name: str, file: Any) -> tuple[str, Any, str | None]:
    if isinstance(file, (tuple, list)):
        return file[0] or name, file[1], file[2] if len(file) > 2 else None  # noqa: PLR2004
    return str(getattr(file, "name", name)), file, None


def _part(boundary: str, disposition: str, kind: str | None, content: Any) -> bytes:
    if hasattr(content, "read"):
        content = content.read()
    body = content if isinstance(content, bytes) else str(content).encode()
    head = f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n"
    if kind:
        head += f"Content-Type: {kind}\r\n"
    return head.encode() + b"\r\n" + body + b"\r\n"
