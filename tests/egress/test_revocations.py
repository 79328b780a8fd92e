"""What is revoked stays revoked until its tokens have expired, within bounds."""

from hypothesis import given
from hypothesis import strategies as st

from egress.revocations import Revocations
from sandboxes.token import TokenClaims


def claims(execution: str, expires: int) -> TokenClaims:
    return TokenClaims(
        execution=execution, profile="p", rules="r", actor="a", environment="dev", expires=expires, generation=0
    )


@given(
    st.lists(st.tuples(st.integers(0, 30).map(str), st.integers(1, 60)), max_size=60),
    st.integers(1, 8),
    st.integers(0, 59),
)
def test_nothing_revoked_is_accepted_again_and_the_set_is_bounded(
    revoked: list[tuple[str, int]], most: int, now: int
) -> None:
    revocations = Revocations(most)
    for execution, until in revoked:
        revocations.add({execution: until}, now)
    assert len(revocations) <= most
    for execution, until in revoked:
        assert until <= now or revocations.covers(claims(execution, until))


def test_what_has_expired_is_forgotten() -> None:
    revocations = Revocations()
    revocations.add({"a": 10, "b": 20}, 0)
    revocations.add({"c": 30}, 15)
    assert len(revocations) == 2
    assert revocations.covers(claims("b", 20))
    assert not revocations.covers(claims("d", 31))
