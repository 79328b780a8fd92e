"""A reload never widens what a running execution may do, and what it takes away is gone at once."""

import pytest

from egress.generations import MOST_KEPT, Generations
from sandboxes.budgets import Terms
from sandboxes.egress_rule import EgressRule
from sandboxes.generation import Generation, make_generation
from sandboxes.rule_set import RuleSet
from sandboxes.token import MOST_LIFETIME_S, TokenClaims
from tests.egress.lab import rule, rule_set

READ, WRITE, OTHER = rule(name="read", methods=["GET"]), rule(name="write", methods=["PUT"]), rule(name="other")


def generation(number: int, **profiles: RuleSet) -> Generation:
    terms = [(f"sha256:{name}{number}", Terms(name=name, environments=("dev",))) for name in profiles]
    return make_generation(number, {f"profile {name}": rules for name, rules in profiles.items()}, terms)


def claims(profile: str, rules: RuleSet, made: int = 0) -> TokenClaims:
    return TokenClaims(
        execution="e",
        profile=f"sha256:{profile}{made}",
        rules=rules.digest(),
        actor="a",
        environment="dev",
        expires=10,
        generation=made,
    )


def names(generations: Generations, token: TokenClaims) -> list[str]:
    return [rule.name for rule in generations.rules(token).rules]


@pytest.mark.parametrize(
    ("now", "standing"),
    [
        pytest.param([READ, WRITE], ["read", "write"], id="nothing changed"),
        pytest.param([READ, WRITE, OTHER], ["read", "write"], id="a new rule is not for those that run"),
        pytest.param([READ], ["read"], id="a rule is gone"),
        pytest.param([WRITE, READ], ["read", "write"], id="the order of the old set holds"),
        pytest.param([rule(name="read", methods=["GET", "HEAD"]), WRITE], ["write"], id="a changed rule is another"),
        pytest.param([], [], id="all are gone"),
    ],
)
def test_an_older_token_keeps_the_rules_that_still_stand(now: list[EgressRule], standing: list[str]) -> None:
    old = rule_set(READ, WRITE)
    generations = Generations(generation(0, mine=old))
    generations.load(generation(1, mine=rule_set(*now)), 0)
    assert names(generations, claims("mine", old)) == standing
    assert generations.withdrawn(claims("mine", old)) == (len(standing) < 2)


def test_another_profile_with_the_same_rules_does_not_keep_them() -> None:
    old = rule_set(READ)
    generations = Generations(generation(0, mine=old, yours=old))
    generations.load(generation(1, mine=rule_set(), yours=old), 0)
    assert names(generations, claims("mine", old)) == []
    assert names(generations, claims("yours", old)) == ["read"]


def test_a_profile_cannot_use_the_rules_of_another() -> None:
    generations = Generations(generation(0, mine=rule_set(READ), yours=rule_set(WRITE)))
    assert names(generations, claims("mine", rule_set(WRITE))) == []


def test_a_removed_profile_takes_its_rules_along() -> None:
    generations = Generations(generation(0, mine=rule_set(READ)))
    generations.load(generation(1), 0)
    assert names(generations, claims("mine", rule_set(READ))) == []


def test_older_generations_are_dropped_when_no_token_can_name_them() -> None:
    old = rule_set(READ)
    generations = Generations(generation(0, mine=old))
    generations.load(generation(1, mine=rule_set(WRITE)), 0)
    assert generations.knows(old.digest())
    generations.load(generation(2, mine=rule_set(WRITE)), MOST_LIFETIME_S + 1)
    assert not generations.knows(old.digest())
    assert generations.terms("sha256:mine0") is None


def test_however_often_it_is_reloaded_the_number_is_bounded() -> None:
    generations = Generations(generation(0, mine=rule_set(READ)))
    for number in range(1, 2 * MOST_KEPT):
        generations.load(generation(number, mine=rule_set(READ)), 0)
    assert len(generations) == MOST_KEPT + 1


def test_a_generation_is_newer_than_the_one_before() -> None:
    generations = Generations(generation(3))
    with pytest.raises(ValueError, match="generation 3 is not newer than 3"):
        generations.load(generation(3), 0)
