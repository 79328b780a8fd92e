"""How an execution ended, as the host's own record tells it."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """Terminal states an isolate can reach. The others of an execution are the gateway's."""

    SUCCEEDED = "succeeded"
    PROGRAM_ERROR = "program_error"
    LIMIT_CPU = "limit_cpu"
    LIMIT_ACTIVE = "limit_active"
    LIMIT_WALL = "limit_wall"
    LIMIT_MEMORY = "limit_memory"
    LIMIT_STACK = "limit_stack"
    LIMIT_OUTPUT = "limit_output"
    LIMIT_RESULT = "limit_result"
    LIMIT_HOST_CALLS = "limit_host_calls"
    LIMIT_FUEL = "limit_fuel"
    CANCELLED = "cancelled"
    TRAPPED = "trapped"
    DIVERGED = "diverged"
    """Replayed, it did something else than the record says."""
    STOPPED = "stopped"
    """Replayed as far as was asked for, or as the record goes."""
    SESSION_LOST = "session_lost"
    """It did not run: the isolate its session's earlier programs ran in is not there."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Why the host ended a guest: the status, the limit's name and its value (0 if it was no limit)."""

    status: Status
    limit: str = ""
    value: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Usage:
    """What the guest used. Times in nanoseconds, sizes in bytes; `memory_exact` says whether the peak is measured."""

    cpu_ns: int
    active_ns: int
    wall_ns: int
    startup_ns: int
    memory_bytes: int
    memory_exact: bool
    host_calls: int
    log_lines: int
    fuel: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """The end of one execution: `result` is JSON when it succeeded, `error` is JSON when the program failed.

    `kept` tells how many programs of its session the isolate has run that was kept; 0 if none was.
    """

    ending: Ending
    result: str = ""
    error: str = ""
    usage: Usage
    kept: int = 0
