"""One generation of what the egress proxy decides by. Immutable; a reload makes the next one."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field, model_validator

from .budgets import SERVICE_TERMS, Terms
from .rule_set import RuleSet
from .token import SERVICE


class Generation(BaseModel):
    """`owners` says whose rule sets are in force: `profile standard` or `upstream notes` to a rule set's digest.

    `rule_sets` are by their digests and `terms` by the digests of profiles.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: int = Field(0, ge=0)
    rule_sets: dict[str, RuleSet]
    owners: dict[str, str] = Field(default_factory=dict)
    terms: dict[str, Terms] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> "Generation":
        for digest, rules in self.rule_sets.items():
            if rules.digest() != digest:
                raise ValueError(f"rule set {digest} has the digest {rules.digest()}")
        for owner, digest in self.owners.items():
            if digest not in self.rule_sets:
                raise ValueError(f"{owner} names the rule set {digest}, which is not among rule_sets")
        return self


def make_generation(number: int, owned: Mapping[str, RuleSet], profiles: Iterable[tuple[str, Terms]]) -> Generation:
    """The generation with these rule sets by owner and these (profile digest, terms)."""
    owners = {owner: rules.digest() for owner, rules in owned.items()}
    return Generation(
        number=number,
        rule_sets={owners[owner]: rules for owner, rules in owned.items()},
        owners=owners,
        terms={SERVICE: SERVICE_TERMS, **dict(profiles)},
    )
