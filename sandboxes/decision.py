"""The answer of every decision: a result and a reason."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """`rule` is the pattern or rule that decided, None where none applied."""

    allowed: bool
    reason: str
    rule: str | None = None
