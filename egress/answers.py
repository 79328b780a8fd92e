"""What the proxy itself answers: JSON bodies and the `lockgate-egress` header."""

import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

NOTE_HEADER = b"lockgate-egress"
NOTE_PREFIX = b"lockgate-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A complete response of the proxy's own."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    def http1(self) -> bytes:
        """As bytes on an HTTP/1.1 connection that closes after it."""
        lines = [f"HTTP/1.1 {self.status} {phrase(self.status)}".encode()]
        lines += [name + b": " + value for name, value in (*self.headers, (b"connection", b"close"))]
        return b"\r\n".join(lines) + b"\r\n\r\n" + self.body


def phrase(status: int) -> str:
    """The reason phrase of a status the proxy uses."""
    return HTTPStatus(status).phrase


def note(  # noqa: PLR0913 - the fields of the header
    *,
    allowed: bool,
    rule: str | None,
    credential: str | None,
    reason: str,
    error: str | None = None,
    bytes_left: int | None = None,
) -> bytes:
    """The value of the `lockgate-egress` header: one line of JSON. `error`: the proxy answers for the upstream.

    `bytes_left`: after so many bytes of body a budget breaks the answer off.
    """
    said: dict[str, object] = {"allowed": allowed, "rule": rule, "credential": credential, "reason": reason}
    said["error"] = error
    if bytes_left is not None:
        said["bytes_left"] = bytes_left
    return json.dumps(said).encode()


def answer(status: int, body: dict[str, Any], header: bytes) -> Answer:
    """An answer with a JSON body and the note beside it."""
    raw = json.dumps(body).encode() + b"\n"
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(raw)).encode()),
        (b"cache-control", b"no-store"),
        (NOTE_HEADER, header),
    ]
    if status == HTTPStatus.PROXY_AUTHENTICATION_REQUIRED:
        headers.append((b"proxy-authenticate", b'Bearer realm="lockgate"'))
    return Answer(status=status, headers=tuple(headers), body=raw)


def refusal(  # noqa: PLR0913 - the fields of its body
    *, status: int, code: str, reason: str, rule: str | None = None, host: str | None = None, hint: Any = None
) -> Answer:
    """The answer to a request that does not leave."""
    body = {"error": "egress_denied", "code": code, "reason": reason, "rule": rule, "host": host, "hint": hint}
    return answer(status, body, note(allowed=False, rule=rule, credential=None, reason=reason))


def upstream_fault(*, error: str, reason: str, rule: str | None, host: str | None, credential: str | None) -> Answer:
    """The answer where a request was allowed and its upstream failed it: 502."""
    body = {"error": error, "reason": reason, "rule": rule, "host": host}
    return answer(502, body, note(allowed=True, rule=rule, credential=credential, reason=reason, error=error))
