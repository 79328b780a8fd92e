"""What an execution's answers led to, so that redirects and retries are told from first requests. Bounded."""

from collections import OrderedDict
from urllib.parse import urljoin, urlsplit

MOST_REMEMBERED = 64
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_PORTS = {"http": 80, "https": 443}
_WORTH_A_RETRY = frozenset({408, 425, 429})


class Trail:
    """Redirects that were answered and requests that failed, the latest MOST_REMEMBERED of each."""

    __slots__ = ("_failed", "_targets")

    def __init__(self) -> None:
        self._targets: OrderedDict[str, None] = OrderedDict()
        self._failed: OrderedDict[tuple[str, str], None] = OrderedDict()

    def is_redirect(self, url: str) -> bool:
        """Whether an earlier answer sent the program to this URL."""
        return url in self._targets

    def is_retry(self, method: str, url: str) -> bool:
        """Whether this request failed before."""
        return (method, url) in self._failed

    def answered(self, method: str, url: str, status: int, location: str | None) -> None:
        """Note an answer."""
        if status in _REDIRECTS and location:
            _remember(self._targets, _joined(url, location))
        if status in _WORTH_A_RETRY or status >= 500:  # noqa: PLR2004 - RFC 9110 section 15.6
            self.failed(method, url)

    def failed(self, method: str, url: str) -> None:
        """Note a request that came to no answer."""
        _remember(self._failed, (method, url))


def _joined(url: str, location: str) -> str:
    """Where a Location leads from a URL, spelt as requests are: lower-case host, no default port, no fragment."""
    try:
        parts = urlsplit(urljoin(url, location))
        port = parts.port
    except ValueError:
        return location
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    place = host if port in {None, _PORTS.get(parts.scheme)} else f"{host}:{port}"
    return f"{parts.scheme}://{place}{parts.path or '/'}" + (f"?{parts.query}" if parts.query else "")


def _remember[K](known: OrderedDict[K, None], key: K) -> None:
    known[key] = None
    known.move_to_end(key)
    if len(known) > MOST_REMEMBERED:
        known.popitem(last=False)
