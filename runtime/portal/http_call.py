"""One HTTP exchange with an upstream, as values, and the port it goes through."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from runtime.execution.hostcall import HostCallError

# Statuses after which the same request may do better.
RETRYABLE: Final = frozenset({408, 425, 429, 500, 502, 503, 504})

type Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpRequest:
    """`url` is absolute, every part of it escaped."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpReply:
    """The whole answer. Header names are lower case; `egress` and `credential` are the proxy's words on it."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    egress: str = ""
    credential: str = ""

    def header(self, name: str) -> str:
        """The first header of that (lower-case) name; empty if there is none."""
        return next((value for key, value in self.headers if key == name), "")


@dataclass(frozen=True, kw_only=True, slots=True)
class HttpBounds:
    """Who asks and within which bounds. `token` is the egress token of the call, `deadline` monotonic seconds."""

    token: str
    deadline: float
    max_response_bytes: int


class HttpSend(Protocol):
    """Sends a request through the egress proxy. Follows no redirect.

    Raises HostCallError: `denied` where the proxy refused, `unavailable` where no answer came, `timeout` at
    the deadline, `limit` for more than `max_response_bytes`.
    """

    async def __call__(self, request: HttpRequest, bounds: HttpBounds) -> HttpReply:
        """The upstream's answer, whatever its status."""
        ...


def blamed(error: HostCallError, tool: str, *, read_only: bool) -> HostCallError:
    """An error of the way out as an error of a tool's call.

    What may have reached the upstream is not called retryable unless the tool only reads.
    """
    sent = isinstance(error.details, dict) and error.details.get("sent") is True
    message = error.message
    if sent and not read_only:
        message = f"{message}; whether the tool did its work is not known"
    return HostCallError(
        error.code,
        f"{tool}: {message}",
        status=error.status,
        retryable=error.retryable and (read_only or not sent),
        tool=tool,
        details=error.details,
        egress=error.egress,
        retry_after=error.retry_after,
    )
