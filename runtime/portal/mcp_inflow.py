"""What an MCP server may send: how fast, how much, and whether anybody asked for it. Pure decisions. Security boundary.

Answers that were asked for are bounded each; whatever else comes is paced, and a server that goes on like that is
closed. What nobody asked for is dropped here, before the SDK makes a task of it.
"""

from dataclasses import dataclass, field
from typing import Any, Final

from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCNotification, JSONRPCRequest, JSONRPCResponse, RequestId

from sandboxes.bounded_json import JsonBoundError, check_bounds

_HEARD: Final = frozenset(
    {
        "notifications/cancelled",
        "notifications/progress",
        "notifications/prompts/list_changed",
        "notifications/resources/list_changed",
        "notifications/subscriptions/acknowledged",
        "notifications/tools/list_changed",
    }
)
_BYTES_A_UNIT: Final = 4_096


class FloodError(Exception):
    """A server that does not keep to its bounds; the text says which, for the reason why it was closed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class InflowBounds:
    """`message_bytes` and `message_values` (JSON values) are of one message, `reading_bytes` of all being read at once.

    A message nobody asked for costs one unit and another for every 4 KiB: `burst` at once, `per_s` from then on. One
    that is over that for `patience_s` without a pause is closed. `open_requests`: what it may ask before it takes the
    answers. `requests`: it makes Lockgate send by ending streams, so many at once and one every two seconds.
    """

    message_bytes: int = 8 << 20
    message_values: int = 250_000
    reading_bytes: int = 64 << 20
    listing_bytes: int = 32 << 20
    burst: float = 2_000
    per_s: float = 500
    patience_s: float = 3
    open_requests: int = 32
    unsent_bytes: int = 64 << 20
    unread_s: float = 30
    requests: float = 8


@dataclass(kw_only=True, slots=True)
class Pace:
    """A budget that refills. Times are monotonic seconds."""

    burst: float
    per_s: float
    patience_s: float = float("inf")
    _left: float = 0.0
    _at: float | None = None
    _behind: float | None = None

    def spend(self, units: float, now: float) -> float:
        """Seconds to wait before going on. Raises FloodError once that has been so for too long."""
        refilled = self.burst if self._at is None else min(self.burst, self._left + (now - self._at) * self.per_s)
        self._left, self._at = refilled - units, now
        if self._left >= self.burst / 2:
            # Not as soon as there is anything left: who waits as told has that each time.
            self._behind = None
        if self._left >= 0:
            return 0.0
        self._behind = now if self._behind is None else self._behind
        if now - self._behind > self.patience_s:
            rate = f"more than {self.per_s:g} messages a second, or 4 KiB of them,"
            raise FloodError(f"it sent {rate} that nobody asked for, for {self.patience_s:g} s")
        return -self._left / self.per_s


@dataclass(slots=True)
class Inflow:
    """Of one connection. `sent` and `took` see every message; `total` counts bytes that came."""

    bounds: InflowBounds = field(default_factory=InflowBounds)
    total: int = 0
    dropped: int = 0
    reading: int = 0
    unasked: Pace = field(init=False)
    _asked: dict[str, Any] = field(default_factory=dict)
    _open: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        bounds = self.bounds
        self.unasked = Pace(burst=bounds.burst, per_s=bounds.per_s, patience_s=bounds.patience_s)

    def sent(self, message: JSONRPCMessage, scope: Any = None) -> Any:
        """A message is on its way to the server. The scope of the request that it cancels, if it does."""
        if isinstance(message, JSONRPCRequest):
            self._asked[_key(message.id)] = scope
        elif isinstance(message, JSONRPCResponse | JSONRPCError):
            self._open.discard(_key(message.id))
        elif message.method == "notifications/cancelled" and message.params is not None:
            return self._asked.pop(_key(message.params.get("requestId")), None)
        return None

    def took(self, message: JSONRPCMessage) -> tuple[bool, Any]:
        """Whether a message of the server is for somebody, and the scope of the request it answers.

        Raises FloodError where it asks more than it listens.
        """
        match message:
            case JSONRPCResponse() | JSONRPCError():
                key = _key(message.id)
                if key in self._asked:
                    return True, self._asked.pop(key)
            case JSONRPCRequest():
                if len(self._open) >= self.bounds.open_requests:
                    raise FloodError(f"it asked more than {self.bounds.open_requests} things and took no answer")
                self._open.add(_key(message.id))
                return True, None
            case JSONRPCNotification(method="notifications/progress"):
                token = (message.params or {}).get("progressToken")
                if _key(token) in self._asked:
                    return True, self._asked[_key(token)]
            case JSONRPCNotification() if message.method in _HEARD:
                return True, None
        self.dropped += 1
        return False, None

    def awaits(self, request: RequestId) -> bool:
        """Whether a request of that id was sent and is not answered yet."""
        return _key(request) in self._asked

    def cost(self, message: JSONRPCMessage, size: int) -> float:
        """Units of a message; none for an answer. Ask before `took`, which takes the answer as given."""
        if isinstance(message, JSONRPCResponse | JSONRPCError) and _key(message.id) in self._asked:
            return 0.0
        return 1 + size / _BYTES_A_UNIT

    def check(self, text: str) -> None:
        """Raise JsonBoundError for a message that would take too much memory or time to decode."""
        if len(text) > self.bounds.message_values or text.count("[") + text.count("{") > _FEW:
            check_bounds(text, self.bounds.message_values)


_FEW: Final = 500


def _key(request: Any) -> str:
    """The SDK takes "7" and 7 for the same request."""
    return str(request)


__all__ = ["FloodError", "Inflow", "InflowBounds", "JsonBoundError", "Pace"]
