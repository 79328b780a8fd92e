"""Redirects, followed on the client's side only: each hop is a request of its own, decided by the proxy afresh.

After WHATWG Fetch, "HTTP-redirect fetch".
"""

import time
from dataclasses import dataclass, replace
from typing import Literal
from urllib.parse import urldefrag, urljoin, urlsplit

from runtime.execution.outbound import Headers, Outbound, OutboundError, OutboundRequest, OutboundResponse

MAX_REDIRECTS = 10
Mode = Literal["follow", "error", "manual"]
_STATUSES = frozenset({301, 302, 303, 307, 308})
_BODY_HEADERS = frozenset(f"content-{what}" for what in ("encoding", "language", "location", "type", "length"))
_ORIGIN_HEADERS = frozenset({"authorization", "cookie", "proxy-authorization", "host"})
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """The last answer, the URL it came from, and whether a redirect led there."""

    response: OutboundResponse
    url: str
    redirected: bool


async def fetch(outbound: Outbound, request: OutboundRequest, token: str, mode: Mode = "follow") -> Fetched:
    """Send a request and follow its redirects within its one time-out. Raises OutboundError."""
    deadline = time.monotonic() + request.timeout_s
    hop = request
    for _ in range(MAX_REDIRECTS + 1):
        response = await outbound.send(replace(hop, timeout_s=deadline - time.monotonic()), token)
        following = next_hop(hop, response.status, response.header("location"))
        if following is None or mode == "manual":
            return Fetched(response=response, url=urldefrag(hop.url).url, redirected=hop is not request)
        if mode == "error":
            message = f"{request.url[:200]} answered {response.status}, and redirect is set to error"
            raise OutboundError("upstream_error", message, status=response.status)
        hop = following
    raise OutboundError("upstream_error", f"more than {MAX_REDIRECTS} redirects", details={"limit": MAX_REDIRECTS})


async def fetch_document(
    outbound: Outbound, url: str, token: str, *, timeout_s: float = 30.0, max_bytes: int = 64 << 20
) -> bytes:
    """The body at a URL, redirects followed. Raises OutboundError, `upstream_error` for any status but 2xx."""
    request = OutboundRequest(url=url, timeout_s=timeout_s, max_response_bytes=max_bytes)
    response = (await fetch(outbound, request, token)).response
    if not 200 <= response.status < 300:  # noqa: PLR2004 - RFC 9110 section 15.3
        message = f"{url[:200]} answered {response.status} {response.reason}".rstrip()
        raise OutboundError("upstream_error", message, status=response.status, retryable=response.status >= 500)  # noqa: PLR2004
    return response.body


def next_hop(request: OutboundRequest, status: int, location: str) -> OutboundRequest | None:
    """The request that a redirect asks for, or None if the answer is none. Raises OutboundError for a bad Location."""
    if status not in _STATUSES or not location:
        return None
    url = urljoin(request.url, location)
    if urlsplit(url).scheme not in _PORTS:
        raise OutboundError("upstream_error", f"redirected to {url[:200]!r}, which is not http or https", status=status)
    method, body, headers = request.method, request.body, request.headers
    if (status in {301, 302} and method == "POST") or (status == 303 and method not in {"GET", "HEAD"}):  # noqa: PLR2004
        method, body, headers = "GET", None, _without(headers, _BODY_HEADERS)
    if _origin(url) != _origin(request.url):
        headers = _without(headers, _ORIGIN_HEADERS)
    return replace(request, url=url, method=method, body=body, headers=headers)


def _without(headers: Headers, names: frozenset[str]) -> Headers:
    return tuple((name, value) for name, value in headers if name.lower() not in names)


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    return parts.scheme, parts.hostname, port or _PORTS.get(parts.scheme)
