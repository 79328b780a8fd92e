"""What a rule injects: one credential, or several that its upstream wants together. They must not meet in one place."""

from itertools import combinations
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag

from .injection import Injection

MOST_TOGETHER = 4
# A name of its own: pydantic cannot write the JSON Schema of a union that it meets twice without one.
type OneInjection = Injection
type SeveralInjections = Annotated[tuple[OneInjection, ...], Field(min_length=1, max_length=MOST_TOGETHER)]


def check_together(several: tuple[Injection, ...]) -> tuple[Injection, ...]:
    """Credentials of which none is put where another is."""
    for one, other in combinations(several, 2):
        if shared := next((place for place in one.takes() for taken in other.takes() if _meet(place, taken)), None):
            raise ValueError(f"two credentials go to the {shared}: {one.redacted()}, and {other.redacted()}")
    return several


def _meet(place: str, other: str) -> bool:
    """The same place, or for fields of a body and placeholders one that is within the other."""
    if place == other:
        return True
    kinds = {place.partition(" ")[0], other.partition(" ")[0]}
    if kinds == {"field"}:
        return f"{place}/".startswith(f"{other}/") or f"{other}/".startswith(f"{place}/")
    return kinds == {"placeholder"} and (place.partition(" ")[2] in other or other.partition(" ")[2] in place)


def _kind_of(value: Any) -> str:
    return "several" if isinstance(value, list | tuple) else "one"


type Inject = Annotated[
    Annotated[OneInjection, Tag("one")] | Annotated[SeveralInjections, AfterValidator(check_together), Tag("several")],
    Discriminator(_kind_of),
]
"""As an operator writes it: one, or a list."""


def injections_of(inject: Injection | tuple[Injection, ...] | None) -> tuple[Injection, ...]:
    """Every credential, in the order in which they are written."""
    if inject is None:
        return ()
    return inject if isinstance(inject, tuple) else (inject,)
