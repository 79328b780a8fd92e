"""The generations of rules that tokens may name: the present one, and earlier ones until no token is left of them.

Security boundary. An execution keeps the rules it began under, but for those that have been withdrawn since: of an
older rule set only the rules count that its owner's present rule set still has, unchanged. So a reload never widens
what a running execution may do, and what it takes away is gone at once.
"""

from collections import defaultdict

from sandboxes.budgets import Terms
from sandboxes.generation import Generation
from sandboxes.rule_set import RuleSet
from sandboxes.token import MOST_LIFETIME_S, TokenClaims

MOST_KEPT = 64
"""Older generations held at once. With more reloads in a day, the oldest executions are refused."""


class Generations:
    """`now` is in Unix seconds throughout."""

    def __init__(self, first: Generation) -> None:
        self._present = first
        self._older: list[tuple[float, Generation]] = []
        self._owners: defaultdict[str, set[str]] = defaultdict(set)
        self._standing: dict[tuple[str, str], RuleSet] = {}
        self._index()

    @property
    def number(self) -> int:
        """Of the present generation."""
        return self._present.number

    def __len__(self) -> int:
        return 1 + len(self._older)

    def rule_sets(self) -> list[RuleSet]:
        """Every rule set that a token may still name."""
        return [rules for held in self._held() for rules in held.rule_sets.values()]

    def load(self, following: Generation, now: float) -> None:
        """Replace the present generation. Raises ValueError if the number does not rise."""
        if following.number <= self.number:
            raise ValueError(f"generation {following.number} is not newer than {self.number}")
        self._older.append((now + MOST_LIFETIME_S, self._present))
        self._older = [(until, older) for until, older in self._older[-MOST_KEPT:] if until > now]
        self._present = following
        self._index()

    def add(self, rule_sets: dict[str, RuleSet]) -> None:
        """Rule sets without an owner, beside those of the present generation."""
        self._present = self._present.model_copy(update={"rule_sets": {**self._present.rule_sets, **rule_sets}})
        self._index()

    def terms(self, profile: str) -> Terms | None:
        """Of the profile with this digest."""
        return next((held.terms[profile] for held in self._held() if profile in held.terms), None)

    def knows(self, rules: str) -> bool:
        """Whether a rule set with this digest is held."""
        return any(rules in held.rule_sets for held in self._held())

    def rules(self, claims: TokenClaims) -> RuleSet:
        """What a token's requests are decided by now. Raises LookupError for a rule set that is not held."""
        key = (claims.profile, claims.rules)
        if key not in self._standing:
            self._standing[key] = self._still_standing(claims)
        return self._standing[key]

    def withdrawn(self, claims: TokenClaims) -> bool:
        """Whether rules that the token was made under are gone."""
        return len(self.rules(claims).rules) < len(self._rule_set(claims.rules).rules)

    def _still_standing(self, claims: TokenClaims) -> RuleSet:
        asked = self._rule_set(claims.rules)
        present = [
            self._present.rule_sets[self._present.owners[owner]]
            for owner in self._owners_for(claims)
            if owner in self._present.owners
        ]
        if claims.rules not in self._owners and claims.rules in self._present.rule_sets:
            return asked
        return asked.standing(present)

    def _owners_for(self, claims: TokenClaims) -> set[str]:
        """Whose rules the token goes by: its own profile's if that had them, else every upstream's that had."""
        owners = self._owners.get(claims.rules, set())
        terms = self.terms(claims.profile)
        own = f"profile {terms.name}" if terms else ""
        return {own} if own in owners else {owner for owner in owners if not owner.startswith("profile ")}

    def _rule_set(self, digest: str) -> RuleSet:
        for held in self._held():
            if digest in held.rule_sets:
                return held.rule_sets[digest]
        raise LookupError(f"rule set {digest} is not loaded")

    def _held(self) -> list[Generation]:
        return [self._present, *(older for _, older in reversed(self._older))]

    def _index(self) -> None:
        self._standing = {}
        self._owners = defaultdict(set)
        for held in self._held():
            for owner, digest in held.owners.items():
                self._owners[digest].add(owner)
