"""Rules for outgoing data: what a request must not carry out, whoever allowed it to leave.

Patterns are in RE2's syntax: no pattern takes longer than the data is long.
"""

from collections.abc import Collection, Iterable
from itertools import count
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from .model import FrozenModel
from .text_pattern import TextPattern, compiled

Known = Literal[
    "private-key", "aws-access-key", "aws-secret-key", "google-api-key", "azure-storage-key", "github-token",
    "gitlab-token", "slack-token", "stripe-key", "jwt", "card-number", "iban", "email-address",
]  # fmt: skip
Part = Literal["body", "query", "path", "headers"]
PARTS: tuple[Part, ...] = get_args(Part)


def check_needs_text(pattern: str) -> str:
    """A pattern that does not match nothing: it would be found everywhere."""
    if compiled(pattern).search("") is not None:
        raise ValueError(f'"{pattern[:80]}" matches empty text; write a pattern that needs at least one character')
    return pattern


class DlpRule(FrozenModel):
    """One thing that must not leave: known kinds of data, or a pattern of the operator's own."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Shown in events and refusals.")
    find: tuple[Known, ...] = Field((), description="Known kinds of data.")
    pattern: Annotated[TextPattern, AfterValidator(check_needs_text)] | None = Field(
        None, description="A pattern of your own, in RE2's syntax."
    )
    action: Literal["block", "redact"] = Field(
        "block", description="Refuse the request, or replace what was found. In a path it is always refused."
    )
    parts: tuple[Part, ...] = Field(PARTS, min_length=1, description="Where to look.")
    exempt: tuple[str, ...] = Field((), description="Egress rules whose requests may carry it.")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if bool(self.find) == (self.pattern is not None):
            raise ValueError(f'outgoing data rule "{self.name}" needs either find or pattern')
        return self


def all_of(lists: Iterable[Iterable[DlpRule]], rules: Collection[str]) -> tuple[DlpRule, ...]:
    """Every rule of the lists, under names of their own, exempting only those of `rules` that each exempts."""
    found: dict[str, DlpRule] = {}
    for rule in (rule for each in lists for rule in each):
        kept = rule.model_copy(update={"exempt": tuple(name for name in rule.exempt if name in rules)})
        if any(kept.model_copy(update={"name": one.name}) == one for one in found.values()):
            continue
        names = (rule.name if number == 1 else f"{rule.name[:56]}.{number}" for number in count(1))
        name = next(name for name in names if name not in found)
        found[name] = kept.model_copy(update={"name": name})
    return tuple(found.values())
