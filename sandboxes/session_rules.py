"""What a profile allows sessions whose programs keep their globals."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .decision import Decision
from .model import FrozenModel

SessionLanguage = Literal["javascript", "typescript", "python"]


def _unique(values: tuple[SessionLanguage, ...]) -> tuple[SessionLanguage, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f'"{value}" is listed twice')
    return values


class SessionRules(FrozenModel):
    """Programs with one `session_id` keep their globals, as in a REPL, in the languages listed.

    A session is made again by running its programs once more from their records, so their number bounds what that
    takes. Its memory is bounded as that of one program: by `limits.memory_bytes`.
    """

    languages: Annotated[tuple[SessionLanguage, ...], AfterValidator(_unique)] = Field(
        (), description="Languages whose programs keep their globals. None: each program begins anew."
    )
    per_owner: int = Field(20, ge=1, le=10_000, description="Open sessions of one owner.")
    max_programs: int = Field(200, ge=1, le=10_000, description="Programs of one session.")
    max_waiting: int = Field(
        16, ge=0, le=1_000, description="Programs of one session that may wait while another of it runs."
    )
    max_idle_s: int = Field(
        3_600, ge=1, le=7 * 86_400, description="A session that nobody has used for that long is closed."
    )
    max_age_s: int = Field(
        86_400, ge=1, le=7 * 86_400, description="A session older than that is closed when its next program comes."
    )


def globals_kept(rules: SessionRules, language: str) -> Decision:
    """Whether programs in a language keep their globals under a session_id."""
    kept = language in rules.languages
    listed = ", ".join(rules.languages) or "empty"
    reason = f"sessions.languages is {listed}"
    return Decision(allowed=kept, reason=reason, rule="sessions.languages")
