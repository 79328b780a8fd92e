"""When an upstream is no longer called, and when again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.portal.circuit_breaker import CircuitBreaker, Pass, Refusal
from runtime.portal.upstream_state import Backoff


def breaker() -> CircuitBreaker:
    return CircuitBreaker(most_failures=3, backoff=Backoff(first_s=1, most_s=4))


def passed(admitted: Pass | Refusal) -> Pass:
    assert isinstance(admitted, Pass)
    return admitted


def tripped(at: float = 0.0) -> CircuitBreaker:
    found = breaker()
    for _ in range(3):
        found.ended(passed(found.admit(at)), "failed", at, "no answer")
    assert found.standing(at) == "tripped"
    return found


def test_it_trips_after_failures_in_a_row_and_not_before():
    found = breaker()
    for verdict in ("failed", "failed", "worked", "failed", "unknown", "failed"):
        found.ended(passed(found.admit(0)), verdict, 0, "no answer")
        assert found.standing(0) == "closed"
    found.ended(passed(found.admit(0)), "failed", 0, "no answer")
    assert (found.standing(0), found.failures, found.trips, found.reason) == ("tripped", 3, 1, "no answer")


def test_a_tripped_one_refuses_until_its_wait_is_over_and_then_lets_one_call_through():
    found = tripped()
    assert found.admit(0.25) == Refusal(retry_after_s=0.75)
    assert found.standing(1) == "probing"
    trial = passed(found.admit(1))
    assert trial.trial
    assert found.admit(1.5) == Refusal(retry_after_s=1.0)
    found.ended(trial, "worked", 2)
    assert (found.standing(2), found.failures) == ("closed", 0)
    assert not passed(found.admit(2)).trial


def test_each_trial_that_fails_doubles_the_wait_up_to_its_bound():
    found, now, waits = tripped(), 1.0, []
    for _ in range(4):
        found.ended(passed(found.admit(now)), "failed", now)
        waits.append(found.wait_s(now))
        now += waits[-1]
    assert waits == [2, 4, 4, 4]
    found.ended(passed(found.admit(now)), "worked", now)
    for _ in range(3):
        found.ended(passed(found.admit(now)), "failed", now)
    assert found.wait_s(now) == 1


def test_a_trial_nobody_waited_for_decides_nothing_and_leaves_room_for_the_next():
    found = tripped()
    found.ended(passed(found.admit(1)), "unknown", 1)
    assert found.standing(1) == "probing"
    assert passed(found.admit(1)).trial


@pytest.mark.parametrize(("verdict", "standing"), [("failed", "tripped"), ("worked", "closed")])
def test_a_call_from_before_the_trip_can_close_it_but_not_prolong_it(verdict, standing):
    found = breaker()
    early = passed(found.admit(0))
    for _ in range(3):
        found.ended(passed(found.admit(0)), "failed", 0)
    found.ended(early, verdict, 0.5)
    assert found.standing(0.5) == standing
    if standing == "tripped":
        assert found.wait_s(0.5) == 0.5


_STEP = st.one_of(
    st.tuples(st.just("wait"), st.floats(0.01, 3)),
    st.tuples(st.just("call"), st.none()),
    st.tuples(st.sampled_from(["worked", "failed", "unknown"]), st.integers(0, 5)),
)


@given(st.lists(_STEP, max_size=60))
def test_whatever_happens_it_never_stays_shut_for_longer_than_the_longest_wait(steps):
    found, now, under_way = breaker(), 0.0, []
    for what, value in steps:
        if what == "wait":
            now += value
        elif what == "call":
            admitted = found.admit(now)
            if isinstance(admitted, Pass):
                under_way.append(admitted)
            else:
                assert 0 < admitted.retry_after_s <= 4
            assert sum(each.trial for each in under_way) <= 1 or found.standing(now) == "closed"
        elif under_way:
            found.ended(under_way.pop(value % len(under_way)), what, now)
    for each in under_way:
        found.ended(each, "unknown", now)
    assert isinstance(found.admit(now + 4), Pass)
