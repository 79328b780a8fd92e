"""Budgets, counted: nothing is let in beyond a value, refusals name budget, value and what was used."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.account import Account, Exhausted
from egress.bucket import MOST_BUCKETS, Bucket, Buckets
from egress.ledger import Lease, Ledger
from egress.trail import MOST_REMEMBERED, Trail
from sandboxes.budgets import SERVICE_TERMS, Budget, Budgets, Rate, Terms
from sandboxes.token import TokenClaims

GET = ("GET", "https://a.test/")


def claims(execution: str = "e", expires: int = 100) -> TokenClaims:
    return TokenClaims(
        execution=execution, profile="p", rules="r", actor="a", environment="dev", expires=expires, generation=0
    )


def terms(**budgets: object) -> Terms:
    return Terms(name="p", environments=("dev",), budgets=Budgets.model_validate(budgets))


def enter(ledger: Ledger, given: Terms, token: TokenClaims | None = None, now: float = 0.0) -> Lease | Exhausted:
    return ledger.enter(token or claims(), given, GET, "a.test", now, now)


@pytest.mark.parametrize("scope", ["execution", "profile"])
def test_requests_are_counted_for_each_scope(scope: str) -> None:
    given, ledger = terms(**{scope: {"requests": 2}}), Ledger()
    assert isinstance(enter(ledger, given), Lease)
    assert isinstance(enter(ledger, given, claims("e" if scope == "execution" else "f")), Lease)
    refused = enter(ledger, given, claims("e" if scope == "execution" else "g"))
    assert isinstance(refused, Exhausted)
    assert (refused.budget, refused.scope, refused.value, refused.used) == ("requests", scope, 2, 2)
    assert "requests" in refused.reason
    assert "used 2" in refused.reason


def test_a_profile_begins_anew_after_its_window_and_an_execution_does_not() -> None:
    given, ledger = terms(execution={"requests": 3}, profile={"requests": 1}, window_s=10), Ledger()
    assert isinstance(enter(ledger, given, now=0), Lease)
    assert isinstance(enter(ledger, given, now=9.9), Exhausted)
    assert isinstance(enter(ledger, given, now=10), Lease)
    assert isinstance(enter(ledger, given, now=20), Lease)
    refused = enter(ledger, given, now=30)
    assert isinstance(refused, Exhausted)
    assert refused.scope == "execution"


def test_parallel_requests_free_their_place_once() -> None:
    given, ledger = terms(execution={"parallel": 1}), Ledger()
    lease = enter(ledger, given)
    assert isinstance(lease, Lease)
    assert isinstance(enter(ledger, given), Exhausted)
    lease.end()
    lease.end()
    assert isinstance(enter(ledger, given), Lease)
    assert isinstance(enter(ledger, given), Exhausted)


def test_a_host_asked_for_again_is_not_another() -> None:
    given, ledger = terms(execution={"hosts": 1}), Ledger()
    for host, expected in [("a.test", Lease), ("a.test", Lease), ("b.test", Exhausted), ("a.test", Lease)]:
        assert isinstance(ledger.enter(claims(), given, GET, host, 0, 0), expected)


@given(st.lists(st.integers(0, 50), max_size=30), st.integers(0, 200))
def test_bytes_beyond_the_budget_are_told_and_only_those(sizes: list[int], value: int) -> None:
    account = Account("execution", Budget(bytes_in=value), 0)
    moved = 0
    for size in sizes:
        moved += size
        assert (account.lacks("bytes_in", size, sent=False) is None) == (moved <= value)
        assert (account.move("bytes_in", size, sent=True) is None) == (moved <= value)


@given(st.floats(0.1, 50), st.integers(1, 20), st.lists(st.floats(0, 2, allow_nan=False), min_size=1, max_size=60))
def test_a_bucket_never_gives_more_than_its_rate(per_second: float, burst: int, waits: list[float]) -> None:
    bucket = Bucket(Rate(per_second=per_second, burst=burst), 0)
    now, taken = 0.0, 0
    for wait in waits:
        now += wait
        if bucket.wait_s(now) == 0:
            bucket.take()
            taken += 1
    assert taken <= burst + math.floor(now * per_second + 1e-6) + 1


def test_a_rate_says_when_to_come_again() -> None:
    given, ledger = terms(execution={"rate": {"per_second": 2, "burst": 1}}), Ledger()
    assert isinstance(enter(ledger, given, now=0), Lease)
    refused = enter(ledger, given, now=0)
    assert isinstance(refused, Exhausted)
    assert refused.retry_after_s == pytest.approx(0.5)
    assert isinstance(enter(ledger, given, now=0.5), Lease)


def test_a_host_rate_is_for_each_host() -> None:
    given, ledger = terms(execution={"host_rate": {"per_second": 1, "burst": 1}}), Ledger()
    for host, expected in [("a.test", Lease), ("a.test", Exhausted), ("b.test", Lease)]:
        assert isinstance(ledger.enter(claims(), given, GET, host, 0, 0), expected)


def test_host_buckets_are_bounded() -> None:
    buckets = Buckets(Rate(per_second=1, burst=1))
    for number in range(MOST_BUCKETS + 10):
        buckets.of(str(number), 0)
    assert len(buckets._buckets) == MOST_BUCKETS


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/b?x=1#y", "https://a.test/b?x=1"),
        ("https://B.test:443", "https://b.test/"),
        ("//b.test:8443/c", "https://b.test:8443/c"),
        ("c", "https://a.test/c"),
    ],
)
def test_redirects_that_are_followed_are_counted(location: str, url: str) -> None:
    given, ledger = terms(execution={"redirects": 1}), Ledger()
    for number in range(2):
        lease = ledger.enter(claims(), given, GET, "a.test", 0, 0)
        assert isinstance(lease, Lease)
        lease.answered(302, location)
        followed = ledger.enter(claims(), given, ("GET", url), "b.test", 0, 0)
        assert isinstance(followed, Lease if number == 0 else Exhausted)
    assert isinstance(followed, Exhausted)
    assert followed.budget == "redirects"


@pytest.mark.parametrize("status", [None, 429, 500, 503])
def test_requests_made_again_are_counted(status: int | None) -> None:
    given, ledger = terms(execution={"retries": 0}), Ledger()
    lease = enter(ledger, given)
    assert isinstance(lease, Lease)
    if status is None:
        lease.failed()
    else:
        lease.answered(status, None)
    refused = enter(ledger, given)
    assert isinstance(refused, Exhausted)
    assert refused.budget == "retries"
    assert isinstance(ledger.enter(claims(), given, ("POST", GET[1]), "a.test", 0, 0), Lease)


def test_an_answer_that_came_is_no_reason_for_a_retry() -> None:
    given, ledger = terms(execution={"retries": 0}), Ledger()
    for _ in range(3):
        lease = enter(ledger, given)
        assert isinstance(lease, Lease)
        lease.answered(404, None)


def test_a_trail_is_bounded() -> None:
    trail = Trail()
    for number in range(MOST_REMEMBERED + 5):
        trail.answered("GET", "https://a.test/", 302, f"/{number}")
    assert len(trail._targets) == MOST_REMEMBERED
    assert not trail.is_redirect("https://a.test/0")


def test_accounts_are_dropped_when_no_token_is_left_and_never_before() -> None:
    ledger, given = Ledger(most=2), terms()
    assert isinstance(enter(ledger, given, claims("a", 10)), Lease)
    assert isinstance(enter(ledger, given, claims("b", 20)), Lease)
    refused = enter(ledger, given, claims("c", 30))
    assert isinstance(refused, Exhausted)
    assert refused.budget == "executions"
    assert isinstance(enter(ledger, given, claims("c", 30), now=10), Lease)
    ledger.forget(["b"])
    assert len(ledger) == 1


def test_a_budget_that_is_shared_is_divided() -> None:
    given, ledger = terms(profile={"requests": 5}), Ledger(share=2)
    assert isinstance(enter(ledger, given), Lease)
    assert isinstance(enter(ledger, given), Lease)
    refused = enter(ledger, given)
    assert isinstance(refused, Exhausted)
    assert refused.value == 2


def test_the_gateway_itself_has_no_budget() -> None:
    ledger = Ledger()
    for _ in range(3_000):
        assert isinstance(enter(ledger, SERVICE_TERMS), Lease)
