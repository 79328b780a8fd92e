import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sandboxes.limits import Limits, narrow, parse_size


def test_a_request_may_narrow_and_the_source_says_so():
    limits, sources = narrow(Limits(), {"cpu_ms": 10})
    assert limits.cpu_ms == 10
    assert sources["cpu_ms"] == "request"
    assert sources["wall_ms"] == "profile"


def test_a_request_may_not_widen():
    with pytest.raises(ValueError, match="cpu_ms 999999 is more than the profile's 2000"):
        narrow(Limits(), {"cpu_ms": 999_999})


def test_an_unknown_limit_is_named_with_those_there_are():
    with pytest.raises(ValueError, match='no limit "cpu"; the limits are cpu_ms'):
        narrow(Limits(), {"cpu": 1})


@given(st.sampled_from(sorted(Limits.model_fields)), st.integers(-(2**40), 2**40))
def test_narrowing_never_gives_more_than_the_profile(name, value):
    profile = Limits()
    try:
        limits, _ = narrow(profile, {name: value})
    except (ValueError, ValidationError):
        return
    assert getattr(limits, name) <= getattr(profile, name)


@pytest.mark.parametrize(
    ("text", "size"), [("64MiB", 64 << 20), ("1 GiB", 1 << 30), ("10KB", 10_000), ("17", 17), ("5 B", 5)]
)
def test_sizes(text, size):
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["64MB/s", "MiB", "-1MiB", "1.5MiB", "1 mib"])
def test_sizes_that_are_none(text):
    with pytest.raises(ValueError, match="a size is a whole number"):
        parse_size(text)
