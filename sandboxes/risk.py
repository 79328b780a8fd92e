"""How risky a call is, 0 to 100: a sum of stated weights, each with its reason. No model, no memory, no guess."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from .call_facts import CallFacts

MOST: Final = 100
MANY_ITEMS: Final = 10
"""An array of arguments with more items than this is a bulk change."""
MOST_FOR_EARLIER: Final = 10
# Verbs in tools' names that mean what cannot be taken back easily, or money, or access.
_GRAVE: Final = re.compile(
    r"(?:^|[^a-z])(?:delete|destroy|drop|purge|remove|wipe|revoke|terminate|merge|deploy|publish|release|"
    r"pay|payment|charge|refund|transfer|send|grant|invite|transfers|payments)(?:[^a-z]|$)"
)
_CAMEL: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


@dataclass(frozen=True, kw_only=True, slots=True)
class Factor:
    """One reason and what it adds."""

    weight: int
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Risk:
    """`score` is the factors' sum, at most 100."""

    score: int = 0
    factors: tuple[Factor, ...] = ()


def risk_of(facts: CallFacts) -> Risk:
    """The risk of a call. One that only reads has none but what its environment adds."""
    factors = tuple(
        Factor(weight=weight(facts) if callable(weight) else weight, reason=reason)
        for weight, reason, holds in _FACTORS
        if holds(facts)
    )
    return Risk(score=min(MOST, sum(factor.weight for factor in factors)), factors=factors)


def _writes(facts: CallFacts) -> bool:
    return not facts.effect.read_only


def _grave_name(facts: CallFacts) -> bool:
    _, _, name = facts.tool.partition(".")
    return _writes(facts) and _GRAVE.search(_CAMEL.sub("_", name).lower()) is not None


def _largest_array(value: Any) -> int:
    """The length of the longest array anywhere in the arguments; they are bounded in depth and number by now."""
    longest, level = 0, [value]
    while level:
        longest = max([longest, *(len(each) for each in level if isinstance(each, list | tuple))])
        members = (each.values() if isinstance(each, dict) else each for each in level)
        level = [each for group in members for each in group if isinstance(each, dict | list | tuple)]
    return longest


def _earlier(facts: CallFacts) -> int:
    return min(MOST_FOR_EARLIER, 2 * facts.earlier_writes)


type _Holds = Callable[[CallFacts], bool]
_FACTORS: Final[tuple[tuple[int | Callable[[CallFacts], int], str, _Holds], ...]] = (
    (20, "it may change something", _writes),
    (25, "it may remove or overwrite", lambda facts: _writes(facts) and facts.effect.destructive),
    (10, "done twice, it counts twice", lambda facts: _writes(facts) and not facts.effect.idempotent),
    (5, "it reaches beyond one known system", lambda facts: _writes(facts) and facts.effect.open_world),
    (10, "its name speaks of removal, money, access or publication", _grave_name),
    (10, "no inverse is declared", lambda facts: _writes(facts) and not facts.undoable),
    (
        10,
        f"its arguments list more than {MANY_ITEMS} items",
        lambda facts: _writes(facts) and _largest_array(dict(facts.arguments)) > MANY_ITEMS,
    ),
    (_earlier, "the program has changed things before", lambda facts: _writes(facts) and facts.earlier_writes > 0),
    (5, "it acts in stage", lambda facts: facts.environment == "stage"),
    (15, "it acts in prod", lambda facts: facts.environment == "prod"),
)
