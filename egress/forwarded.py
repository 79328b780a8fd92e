"""Which headers of a request go on to the upstream."""

from collections.abc import Iterable

# The others belong to one connection (RFC 9110 section 7.6.1), or to the proxy alone.
_NOT_FORWARDED = frozenset(
    (
        b"connection",
        b"host",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    )
)


def forwarded(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Those that do, in their order. Host is not among them: the upstream gets the canonical one."""
    return [(name, value) for name, value in headers if not _stays_here(name.lower())]


def _stays_here(name: bytes) -> bool:
    return name in _NOT_FORWARDED or name.startswith(b"lockgate-")
