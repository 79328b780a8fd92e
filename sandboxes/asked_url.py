"""A request as somebody asks about it: a method and a URL, read as strictly as the egress proxy reads them."""

from collections.abc import Iterable
from urllib.parse import urlsplit

from .authority import parse_authority
from .egress_rule import DEFAULT_PORTS
from .request_facts import RequestFacts
from .target import parse_target


def facts_of_url(
    method: str, url: str, headers: Iterable[tuple[str, str]] = (), body: bytes | None = b""
) -> RequestFacts:
    """The facts of a request for `url`. `body` None: one that nothing is known of yet.

    Raises ValueError saying what the proxy would refuse the URL for.
    """
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.netloc:
        raise ValueError(f'"{url}" is not an http or https URL')
    authority = parse_authority(parts.netloc, DEFAULT_PORTS[parts.scheme])
    target = parse_target((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
    return RequestFacts(
        method=method,
        scheme=parts.scheme,
        host=authority.host,
        port=authority.port,
        path=target.path,
        query=target.query,
        headers=tuple((name.encode(), value.encode()) for name, value in headers),
        body_length=None if body is None else len(body),
        body=body,
    )
