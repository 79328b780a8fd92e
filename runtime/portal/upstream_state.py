"""What state an upstream is in, and how long to wait before it is tried again."""

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from runtime.enclosure.walls import Surroundings

Phase = Literal["starting", "ready", "down", "broken", "tripped", "probing"]


@dataclass(frozen=True, kw_only=True, slots=True)
class UpstreamState:
    """`down` is expected to pass and is retried; `broken` needs an operator. `since` is Unix seconds, UTC.

    `tripped` and `probing` are of the circuit breaker, over an upstream that would be ready. `failures` are those in a
    row: attempts to connect or to load while it is down, calls while it has tripped.
    `surroundings`: of an MCP server that is a child and runs.
    """

    phase: Phase
    reason: str = ""
    since: float = field(default_factory=time.time)
    failures: int = 0
    surroundings: Surroundings | None = None

    def __str__(self) -> str:
        return f"{self.phase}: {self.reason}" if self.reason else self.phase


@dataclass(frozen=True, kw_only=True, slots=True)
class Backoff:
    """Waits that double from `first_s` up to `most_s`."""

    first_s: float = 0.25
    most_s: float = 30.0

    def wait_s(self, failures: int) -> float:
        """Seconds to wait after that many failures in a row."""
        return float(min(self.most_s, self.first_s * 2 ** min(max(failures - 1, 0), 32)))


MAX_REASON: Final = 400


def innermost(error: BaseException) -> BaseException:
    """The first cause in groups of exceptions."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error


def reason_of(error: BaseException) -> str:
    """The innermost cause in words, which callers may read: of a file its name, and not its place on this machine."""
    error = innermost(error)
    if isinstance(error, TimeoutError) and not str(error):
        return "no answer in time"
    if isinstance(error, OSError) and isinstance(error.filename, str):
        name = Path(error.filename).name
        return f"there is no {name}" if isinstance(error, FileNotFoundError) else f"{name}: {error.strerror}"
    text = " ".join((str(error) or type(error).__name__).split())
    return text[:MAX_REASON]
