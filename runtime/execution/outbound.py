"""The gateway's way out: HTTP requests through the egress proxy, each with the execution token it is made under."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpcore2

from runtime.execution.byte_budget import current_hold
from runtime.execution.content_coding import CodingError, decode
from runtime.execution.hostcall import Code, HostCallError
from sandboxes.bounded_json import loads
from sandboxes.shard import claimed_execution, shard_of

Headers = tuple[tuple[str, str], ...]
RawHeaders = Sequence[tuple[bytes, bytes]]
_NOTE = "lockgate-egress"
# An upstream that hangs holds some of these, up to its calls under way: others need theirs all the same.
_MAX_CONNECTIONS = 1_024
_MAX_IDLE = 64
_IDLE_S = 60.0
_CONNECT_S = 5.0
# Set here, or meaning something to one connection only.
_OWN_HEADERS = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-length",
        "expect",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
_METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}")
_SAFE = "%/:=&?~+!$,;'@()*[]^|`{}\"<>"


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboundRequest:
    """A request to an absolute http(s) URL. `timeout_s` covers all of it; the body of the answer is bounded."""

    url: str
    method: str = "GET"
    headers: Headers = ()
    body: bytes | None = None
    timeout_s: float = 30.0
    max_response_bytes: int = 4 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class EgressNote:
    """What the proxy says of a request: `credential` is redacted, like `ledger-token -> authorization: Bearer ***`.

    `error`: the request was allowed, and the proxy answers in place of an upstream that failed. `bytes_left`: of the
    answer's body, before a budget breaks it off.
    """

    allowed: bool
    reason: str = ""
    rule: str | None = None
    credential: str | None = None
    error: str | None = None
    bytes_left: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboundResponse:
    """The upstream's whole answer, whatever its status. Header names as they came, gzip and deflate decoded."""

    status: int
    reason: str
    headers: Headers
    body: bytes
    egress: EgressNote

    def header(self, name: str) -> str:
        """The first header of that name in any case; empty if there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


class OutboundError(HostCallError):
    """A request without an answer. `details["sent"]` tells whether it may have reached the upstream."""

    def __init__(
        self, code: Code, message: str, *, status: int | None = None, retryable: bool = False, details: Any = None
    ) -> None:
        super().__init__(code, message, status=status, retryable=retryable, details=details)


class Outbound:
    """A client of one egress proxy, over kept-alive connections. Use it in one event loop; close it at the end."""

    def __init__(self, host: str, *ports: int) -> None:
        """Several ports are those of the proxy's processes, each of which has executions of its own."""
        self._host, self._ports = host, ports
        self._pool = httpcore2.AsyncConnectionPool(
            max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_IDLE, keepalive_expiry=_IDLE_S
        )

    def use(self, *ports: int) -> None:
        """The proxy, or each of its processes, listens here from now on."""
        self._ports = ports

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def send(self, request: OutboundRequest, token: str) -> OutboundResponse:
        """The answer to one request; redirects are not followed.

        Raises OutboundError: `invalid_argument`, `denied`, `unavailable`, `timeout`, `limit`.
        """
        try:
            async with asyncio.timeout(max(0.0, request.timeout_s)):
                return await self._exchange(request, token)
        except TimeoutError:
            raise OutboundError(
                "timeout",
                f"no complete answer within {request.timeout_s:g} s; the request may have reached {_host(request.url)}",
                retryable=request.method in {"GET", "HEAD", "OPTIONS"},
                details={"timeout_s": request.timeout_s, "sent": True},
            ) from None

    @asynccontextmanager
    async def stream(
        self, method: str, url: str, headers: RawHeaders, token: str, content: Any = None
    ) -> AsyncIterator[httpcore2.Response]:
        """The raw answer while it arrives. Raises httpcore2's exceptions."""
        response = await self.open(method, url, headers, token, content)
        try:
            yield response
        finally:
            await response.aclose()

    async def open(  # noqa: PLR0913, PLR0917 - the parts of a request
        self,
        method: str,
        url: str,
        headers: RawHeaders,
        token: str,
        content: Any = None,
        timeouts: Mapping[str, float | None] | None = None,
    ) -> httpcore2.Response:
        """As `stream`, for who closes the response themselves. `timeouts` in seconds: connect, read, write, pool."""
        host, port = self._host, self._port(token)
        target, authority = absolute_target(url)
        sent = [
            (b"Host", authority),
            *headers,
            (b"Proxy-Authorization", b"Bearer " + token.encode()),
        ]
        request = httpcore2.Request(
            method,
            httpcore2.URL(scheme=b"http", host=host, port=port, target=target),
            headers=sent,
            content=content,
            extensions={"timeout": timeouts or {"connect": _CONNECT_S}},
        )
        return await self._pool.handle_async_request(request)

    def _port(self, token: str) -> int:
        only = len(self._ports) == 1
        return self._ports[0 if only else shard_of(claimed_execution(token), len(self._ports))]

    async def _exchange(self, request: OutboundRequest, token: str) -> OutboundResponse:
        if not _METHOD.fullmatch(request.method):
            raise OutboundError("invalid_argument", f"{request.method[:32]!r} is not a method")
        with translated(request.url):
            async with self.stream(request.method, request.url, _headers(request), token, request.body) as response:
                raw_headers = _decoded(response.headers)
                note = egress_note(raw_headers)
                body = await _read(response, request.max_response_bytes, note)
        raise_refusal(response.status, note, body)
        return _response(response, raw_headers, body, note, request.max_response_bytes)


@dataclass(frozen=True, slots=True)
class translated:  # noqa: N801 - a context manager, used like a function
    """Turns httpcore2's exceptions into OutboundError, in one place."""

    url: str

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        host = _host(self.url)
        match error:
            case httpcore2.ConnectError() | httpcore2.ConnectTimeout() | httpcore2.PoolTimeout():
                message, details = "the egress proxy cannot be reached; nothing was sent", {"sent": False}
                raise OutboundError("unavailable", message, retryable=True, details=details) from error
            case httpcore2.TimeoutException():
                message = f"no answer from {host} in time; the request may have reached it"
                raise OutboundError("timeout", message, details={"sent": True}) from error
            case httpcore2.LocalProtocolError():
                raise OutboundError("invalid_argument", f"this cannot be sent as HTTP: {error}") from error
            case httpcore2.NetworkError() | httpcore2.ProtocolError():
                message = f"the connection broke before the answer from {host} was complete; it may have been reached"
                raise OutboundError("unavailable", message, retryable=True, details={"sent": True}) from error


def raise_refusal(status: int, note: EgressNote | None, body: bytes) -> None:
    """Raise what the proxy itself answered. The upstream cannot imitate it: the proxy removes its header."""
    if note is None:
        raise OutboundError("unavailable", "the answer did not come from the egress proxy", status=status)
    if note.allowed and note.error is None:
        return
    said = _json(body)
    if said.get("code") == "budget":
        hint = {**said, **(said.get("hint") or {})}
        again = "retry_after_s" in hint or hint.get("budget") == "parallel"
        raise OutboundError("limit", note.reason, status=status, retryable=again, details=hint)
    if not note.allowed:
        code: Code = "invalid_argument" if said.get("code") == "malformed" else "denied"
        raise OutboundError(code, f"egress denied: {note.reason}", status=status, details=said)
    raise OutboundError(
        "timeout" if note.error == "upstream_timeout" else "unavailable",
        f"{said.get('host')}: {(note.error or '').replace('_', ' ')}: {note.reason}",
        status=status,
        retryable=note.error == "upstream_unreachable",
        details={**said, "sent": note.error != "upstream_unreachable"},
    )


def egress_note(headers: Headers) -> EgressNote | None:
    """The proxy's note among an answer's headers, or None if there is not exactly one."""
    notes = [value for name, value in headers if name.lower() == _NOTE]
    said = _json(notes[0].encode()) if len(notes) == 1 else {}
    if not isinstance(said.get("allowed"), bool):
        return None
    return EgressNote(
        allowed=said["allowed"],
        reason=str(said.get("reason") or ""),
        rule=said.get("rule"),
        credential=said.get("credential"),
        error=said.get("error"),
        bytes_left=said.get("bytes_left"),
    )


def absolute_target(url: str) -> tuple[bytes, bytes]:
    """A URL as request target and its authority, ASCII, without fragment. Raises OutboundError if it is not http(s)."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise OutboundError("invalid_argument", f"{url[:200]!r} is not a URL: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise OutboundError("invalid_argument", f"{url[:200]!r} is not an absolute http or https URL")
    if "@" in parts.netloc:
        raise OutboundError("invalid_argument", "a URL with user name or password is refused; use a secret of a rule")
    host = _ascii_host(parts.hostname)
    host = f"[{host}]" if ":" in host else host
    authority = host if port is None else f"{host}:{port}"
    query = f"?{quote(parts.query, safe=_SAFE)}" if parts.query else ""
    target = f"{parts.scheme}://{authority}{quote(parts.path, safe=_SAFE) or '/'}{query}"
    return target.encode(), authority.encode()


def _ascii_host(host: str) -> str:
    if host.isascii():
        if not re.fullmatch(r"[\x21-\x7e]+", host):
            raise OutboundError("invalid_argument", f"{host[:200]!r} is not a host name")
        return host
    import idna  # noqa: PLC0415 - 4 MB that ASCII names never need

    try:
        return idna.encode(host, uts46=True).decode()
    except idna.IDNAError as error:
        raise OutboundError("invalid_argument", f"{host[:200]!r} is not a host name: {error}") from None


def _headers(request: OutboundRequest) -> list[tuple[bytes, bytes]]:
    own = _OWN_HEADERS | _connection_options(request.headers)
    sent = [(_field(name), _field(value)) for name, value in request.headers if name.lower() not in own]
    sent.append((b"Accept-Encoding", b"gzip, deflate"))
    if request.body is not None or request.method in {"POST", "PUT", "PATCH"}:
        sent.append((b"Content-Length", str(len(request.body or b"")).encode()))
    return sent


def _connection_options(headers: Headers) -> frozenset[str]:
    named = (value for name, value in headers if name.lower() == "connection")
    return frozenset(option.strip().lower() for value in named for option in value.split(","))


def _field(text: str) -> bytes:
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        message = f"the header {text[:80]!r} has characters that HTTP does not carry"
        raise OutboundError("invalid_argument", message) from None


async def _read(response: httpcore2.Response, limit: int, note: EgressNote | None) -> bytes:
    parts: list[bytes] = []
    size = 0
    hold = current_hold.get()
    try:
        async for part in response.aiter_stream():
            size += len(part)
            if size > limit:
                raise _too_large(limit)
            if hold is not None:
                hold.take_for_call(len(part), sent=True)
            parts.append(part)
    except (httpcore2.NetworkError, httpcore2.ProtocolError) as error:
        if note is None or note.bytes_left is None or size < note.bytes_left:
            raise
        raise _used_up(note.bytes_left) from error
    return b"".join(parts)


def _used_up(left: int) -> OutboundError:
    """The proxy broke the answer off where its note had said it would."""
    return OutboundError(
        "limit",
        f"egress budget bytes_in is used up: {left} bytes were left of it, and the answer is longer; it was broken off",
        details={"budget": "bytes_in", "left": left, "sent": True},
    )


def _too_large(limit: int) -> OutboundError:
    return OutboundError(
        "limit",
        f"the answer is larger than {limit} bytes and was not read further; the request was made",
        details={"limit": "response_bytes", "value": limit, "sent": True},
    )


def _response(
    response: httpcore2.Response, headers: Headers, body: bytes, note: EgressNote | None, limit: int
) -> OutboundResponse:
    assert note is not None
    coding = next((value for name, value in headers if name.lower() == "content-encoding"), "")
    try:
        decoded = decode(body, coding, limit)
    except CodingError as error:
        raise OutboundError("unavailable", f"the answer's body is not valid {coding[:40]}: {error}") from error
    if decoded is None:
        raise _too_large(limit)
    dropped = {_NOTE, "connection", "keep-alive", "transfer-encoding"}
    if decoded is not body:
        dropped |= {"content-encoding", "content-length"}
    return OutboundResponse(
        status=response.status,
        reason=bytes(response.extensions.get("reason_phrase", b"")).decode("latin-1"),
        headers=tuple((name, value) for name, value in headers if name.lower() not in dropped),
        body=decoded,
        egress=note,
    )


def _decoded(headers: Sequence[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)


def _json(text: bytes) -> dict[str, Any]:
    try:
        said = loads(text.decode())
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _host(url: str) -> str:
    try:
        return urlsplit(url).hostname or "the upstream"
    except ValueError:
        return "the upstream"
