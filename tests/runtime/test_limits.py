import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sandboxes.limits import Limits, LimitSource, narrow, parse_size
from sandboxes.profile import Profile


def profile(limits: dict[str, int] | None = None, ceilings: dict[str, int] | None = None) -> Profile:
    given = {"name": "p", "version": 1, "languages": ["python"], "environments": ["dev"]}
    return Profile.model_validate({**given, "limits": limits or {}, "ceilings": ceilings or {}})


def narrowed(profile: Profile, **wanted: int) -> tuple[Limits, dict[str, LimitSource]]:
    return narrow(profile.limits, profile.ceilings, wanted)


def test_the_source_of_each_limit_is_told():
    limits, sources = narrowed(profile({"wall_ms": 30_000}), cpu_ms=10)
    assert limits.cpu_ms == 10
    assert sources["cpu_ms"] == "request"
    assert sources["wall_ms"] == "profile"
    assert sources["active_ms"] == "service"
    assert sources.keys() == set(Limits.model_fields)


def test_without_a_ceiling_a_request_may_not_widen():
    with pytest.raises(ValueError, match="cpu_ms 999999 is more than 2000, the most"):
        narrowed(profile(), cpu_ms=999_999)
    with pytest.raises(ValueError, match="cpu_ms 301 is more than 300, the most"):
        narrowed(profile({"cpu_ms": 300}), cpu_ms=301)


def test_a_request_may_go_up_to_the_ceiling_and_no_further():
    own = profile({"cpu_ms": 300}, {"cpu_ms": 900})
    assert narrowed(own)[0].cpu_ms == 300
    assert narrowed(own, cpu_ms=900)[0].cpu_ms == 900
    with pytest.raises(ValueError, match="cpu_ms 901 is more than 900, the most"):
        narrowed(own, cpu_ms=901)
    with pytest.raises(ValueError, match="wall_ms 30001"):
        narrowed(own, wall_ms=30_001)


def test_a_ceiling_left_out_is_the_limit():
    own = profile({"cpu_ms": 300}, {"wall_ms": 60_000})
    assert own.ceilings.cpu_ms == 300
    assert own.ceilings.wall_ms == 60_000
    assert own.ceilings.log_lines == own.limits.log_lines


def test_a_ceiling_belongs_to_the_digest():
    assert profile(ceilings={"cpu_ms": 9_000}).digest() != profile().digest()
    assert profile(ceilings={"cpu_ms": 2_000}).digest() == profile().digest()


@pytest.mark.parametrize(
    ("ceilings", "message"),
    [
        ({"cpu_ms": 10}, "cpu_ms 10 is below its limit 2000"),
        ({"cpu_ms": 10**9}, "less than or equal to 600000"),
        ({"fuel": 10**9}, "fuel is counted only where limits.fuel says so"),
        ({"cpu": 10}, "Extra inputs"),
    ],
)
def test_a_ceiling_that_makes_no_sense_is_refused(ceilings, message):
    with pytest.raises(ValidationError, match=message):
        profile(ceilings=ceilings)


def test_a_request_can_neither_drop_nor_add_fuel():
    counted = profile({"fuel": 1_000}, {"fuel": 5_000})
    assert narrowed(counted, fuel=5_000)[0].fuel == 5_000
    for own, fuel in ((counted, 0), (counted, 5_001), (profile(), 10)):
        with pytest.raises(ValueError, match="fuel"):
            narrowed(own, fuel=fuel)


def test_an_unknown_limit_is_named_with_those_there_are():
    with pytest.raises(ValueError, match='no limit "cpu"; the limits are cpu_ms'):
        narrowed(profile(), cpu=1)


@given(st.sampled_from(sorted(Limits.model_fields)), st.integers(-(2**40), 2**40))
def test_a_request_never_gets_more_than_the_ceiling_or_what_it_did_not_ask_for(name, value):
    own = profile({"cpu_ms": 300}, {"cpu_ms": 900, "log_lines": 5_000})
    try:
        limits, _ = narrowed(own, **{name: value})
    except ValueError:
        return
    assert getattr(limits, name) == value <= getattr(own.ceilings, name)
    assert limits == own.limits.model_copy(update={name: value})


@pytest.mark.parametrize(
    ("text", "size"), [("64MiB", 64 << 20), ("1 GiB", 1 << 30), ("10KB", 10_000), ("17", 17), ("5 B", 5)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["64MB/s", "MiB", "-1MiB", "1.5MiB", "1 mib"])
def test_sizes_that_are_none(text):
    with pytest.raises(ValueError, match="a size is a whole number"):
        parse_size(text)
