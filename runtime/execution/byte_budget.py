"""The bytes a gateway holds for executions under way: one budget for all, and what each holds of it."""

from contextvars import ContextVar

from runtime.execution.hostcall import HostCallError

MOST_HELD = 512 << 20
"""Bytes, unless the configuration says otherwise."""


class ByteBudget:
    """Counts bytes held against the most that may be. On the event loop."""

    def __init__(self, most: int = MOST_HELD) -> None:
        self.most = most
        self.held = 0

    def has_room(self, size: int) -> bool:
        """Whether so many bytes more would fit."""
        return self.held + size <= self.most


class Hold:
    """What one execution, or one host call, holds of a budget until it is released."""

    def __init__(self, budget: ByteBudget) -> None:
        self._budget = budget
        self.size = 0

    def take(self, size: int) -> bool:
        """Hold `size` bytes more; false, and nothing held, if they do not fit."""
        if not self._budget.has_room(size):
            return False
        self.add(size)
        return True

    def add(self, size: int) -> None:
        """Hold bytes that are here already, and bounded by other means: others will find less room."""
        self.size += size
        self._budget.held += size

    def release(self) -> None:
        """Give everything back."""
        self._budget.held -= self.size
        self.size = 0

    def take_for_call(self, size: int, *, sent: bool) -> None:
        """As `take`, for a host call. Raises HostCallError; `sent`: the call may have had its effect by now."""
        if not self.take(size):
            what = "the call was made, its answer was not read further" if sent else "nothing was sent"
            raise HostCallError(
                "unavailable",
                f"the service holds as many bytes for its executions as it may ({self._budget.most}); {what}",
                retryable=not sent,
                details={"limit": "held_bytes", "value": self._budget.most, "sent": sent},
            )


current_hold: ContextVar[Hold | None] = ContextVar("current_hold", default=None)
"""Of the host call that is being made, for whoever reads its answer."""
