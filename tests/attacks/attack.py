"""What an attack is: a program, and every status that is a right answer to it."""

from dataclasses import dataclass, field
from typing import Any

from runtime.client import Language

LIMITS: dict[str, int] = {
    "cpu_ms": 200,
    "active_ms": 8_000,
    "wall_ms": 10_000,
    "memory_bytes": 64 << 20,
    "log_lines": 50,
    "log_bytes": 16 << 10,
    "log_line_bytes": 512,
    "result_bytes": 4_096,
    "host_calls": 20,
    "parallel_host_calls": 4,
    "call_bytes": 64 << 10,
    "response_bytes": 256 << 10,
}
"""Of the profile the attacks run under."""

CPU = "limit_cpu"
ACTIVE = "limit_active"
WALL = "limit_wall"
MEMORY = "limit_memory"
STACK = "limit_stack"
OUTPUT = "limit_output"
RESULT = "limit_result"
CALLS = "limit_host_calls"
ERROR = "program_error"
OK = "succeeded"
TRAPPED = "trapped"
"""Right only where a program broke its own interpreter's memory or ended it by a C call."""

DEEP = (OK, ERROR, STACK)
"""For depth: the guest copes, refuses in its own words, or runs out of stack."""
BIG = (ERROR, MEMORY)
"""For size: refused in the language's own words, or out of memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attack:
    """One hostile program. `result` is the JSON it must give when it succeeds, if that matters."""

    language: Language
    code: str
    statuses: tuple[str, ...]
    limits: dict[str, int] = field(default_factory=dict)
    result: str | None = None
    broken: str = ""
    """Why it is known to end wrongly for now."""


def javascript(code: str, *statuses: str, **options: Any) -> Attack:
    return Attack(language="javascript", code=code, statuses=statuses, **options)


def python(code: str, *statuses: str, **options: Any) -> Attack:
    return Attack(language="python", code=code, statuses=statuses, **options)


def returns(result: str) -> dict[str, Any]:
    """For `**`: it succeeds, with this JSON."""
    return {"statuses": (OK,), "result": result}
