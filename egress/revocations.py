"""Executions whose tokens are refused before they expire. Bounded, and never forgetful to anybody's advantage."""

import heapq
from collections.abc import Mapping

from sandboxes.token import TokenClaims

MOST_KEPT = 200_000


class Revocations:
    """Each is kept until its execution's tokens have expired. Times are Unix seconds.

    With more than MOST_KEPT at once the soonest to expire are folded into one line: no token that expires up to
    then is accepted any more.
    """

    def __init__(self, most: int = MOST_KEPT) -> None:
        self._most = most
        self._executions: dict[str, int] = {}
        self._heap: list[tuple[int, str]] = []
        self._folded_until = 0

    def __len__(self) -> int:
        return len(self._executions)

    def add(self, executions: Mapping[str, int], now: float) -> None:
        """Revoke executions, each until its last token has expired."""
        for execution, until in executions.items():
            until = max(until, self._executions.get(execution, 0))  # noqa: PLW2901
            self._executions[execution] = until
            heapq.heappush(self._heap, (until, execution))
        self._prune(now)

    def covers(self, claims: TokenClaims) -> bool:
        """Whether a token is refused."""
        return claims.execution in self._executions or claims.expires <= self._folded_until

    def _prune(self, now: float) -> None:
        while self._heap and (self._heap[0][0] <= now or len(self._heap) > self._most):
            until, execution = heapq.heappop(self._heap)
            if self._executions.get(execution) == until:
                del self._executions[execution]
                self._folded_until = max(self._folded_until, until if until > now else 0)
