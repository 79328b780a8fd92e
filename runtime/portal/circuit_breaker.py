"""When an upstream is no longer called: after failures in a row, until a trial call goes well. A pure decision.

It is *closed* as long as calls go through, *tripped* while none does, and *probing* when the next call is a trial.
"""

from dataclasses import dataclass, field
from typing import Final, Literal

from runtime.portal.upstream_state import Backoff

MOST_FAILURES: Final = 5
"""Calls in a row that fail before no further one is made."""
PROBE_S: Final = 1.0
"""While a trial call is under way, others are told to come back after this."""

type Standing = Literal["closed", "tripped", "probing"]
type Verdict = Literal["worked", "failed", "unknown"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Pass:
    """A call that may be made. `generation` tells calls from before a trip from those after it."""

    generation: int
    trial: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """A call that may not be made; `retry_after_s` is how long others will not be made either."""

    retry_after_s: float


@dataclass(kw_only=True, slots=True)
class CircuitBreaker:
    """Of one upstream. Times are monotonic seconds, and given by the caller.

    `failures` are those in a row, `trips` how often it tripped since the start, `reason` what the last failure was.
    """

    most_failures: int = MOST_FAILURES
    backoff: Backoff = field(default_factory=lambda: Backoff(first_s=1.0, most_s=30.0))
    failures: int = 0
    trips: int = 0
    reason: str = ""
    _generation: int = 0
    _rounds: int = 0
    _until: float | None = None
    _trying: bool = False

    def standing(self, now: float) -> Standing:
        """How it stands."""
        if self._until is None:
            return "closed"
        return "tripped" if now < self._until else "probing"

    def wait_s(self, now: float) -> float:
        """Seconds until a call may be made; 0 if one may now."""
        if self._until is None:
            return 0.0
        return max(self._until - now, PROBE_S if self._trying else 0.0)

    def admit(self, now: float) -> Pass | Refusal:
        """Whether a call may be made. `ended` has to be told of each that may."""
        if self._until is None:
            return Pass(generation=self._generation)
        wait = self.wait_s(now)
        if wait > 0:
            return Refusal(retry_after_s=wait)
        self._trying = True
        return Pass(generation=self._generation, trial=True)

    def ended(self, call: Pass, verdict: Verdict, now: float, reason: str = "") -> None:
        """A call has ended."""
        if call.trial and call.generation == self._generation:
            self._trying = False
        if verdict == "worked":
            self._close()
        elif verdict == "failed" and call.generation == self._generation:
            # One that began before the trip says nothing about the time after it.
            self.failures, self.reason = self.failures + 1, reason
            if call.trial or (self._until is None and self.failures >= self.most_failures):
                self._trip(now)

    def _trip(self, now: float) -> None:
        self.trips += 1
        self._generation += 1
        self._rounds += 1
        self._until = now + self.backoff.wait_s(self._rounds)

    def _close(self) -> None:
        if self._until is not None:
            self._generation += 1
        self.failures, self.reason, self._rounds, self._until, self._trying = 0, "", 0, None, False
