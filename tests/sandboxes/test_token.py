import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.token import MOST_LIFETIME_S, TokenClaims, TokenRefused, sign_token, verify_token

KEY = b"k" * 32
CLAIMS = TokenClaims(
    execution="ex-1",
    profile="sha256:cd",
    rules="sha256:ab",
    actor="agent é",
    environment="prod",
    expires=1_000,
    generation=3,
)


def test_what_was_signed_is_what_is_verified() -> None:
    assert verify_token(sign_token(CLAIMS, KEY), KEY, 999) == CLAIMS


@pytest.mark.parametrize("now", [1_000, 1_000.5, 2_000])
def test_a_token_ends_at_its_second(now: float) -> None:
    refused = verify_token(sign_token(CLAIMS, KEY), KEY, now)
    assert refused == TokenRefused(code="expired", reason="the execution token has expired")


def test_another_key_does_not_hold() -> None:
    refused = verify_token(sign_token(CLAIMS, KEY), b"x" * 32, 0)
    assert isinstance(refused, TokenRefused)
    assert refused.code == "signature"


@given(st.integers(min_value=0), st.characters(min_codepoint=33, max_codepoint=126))
def test_no_other_spelling_of_a_token_is_accepted(place: int, character: str) -> None:
    token = sign_token(CLAIMS, KEY)
    place %= len(token)
    changed = token[:place] + character + token[place + 1 :]
    assert changed == token or isinstance(verify_token(changed, KEY, 0), TokenRefused)


@given(st.text())
def test_nonsense_is_refused_not_raised(text: str) -> None:
    assert isinstance(verify_token(text, KEY, 0), TokenRefused)


@pytest.mark.parametrize("suffix", ["=", "\n", " ", ".", "A"])
def test_nothing_may_follow(suffix: str) -> None:
    assert isinstance(verify_token(sign_token(CLAIMS, KEY) + suffix, KEY, 0), TokenRefused)


def test_a_reason_says_nothing_of_the_content() -> None:
    refused = verify_token(sign_token(CLAIMS, KEY), b"x" * 32, 0)
    assert "ex-1" not in str(refused)
    assert "agent" not in str(refused)


@pytest.mark.parametrize(
    "change",
    [
        {"execution": ""},
        {"profile": ""},
        {"audience": ""},
        {"rules": ""},
        {"actor": ""},
        {"environment": ""},
        {"expires": 1.5},
        {"expires": True},
    ],
)
def test_a_token_without_identity_environment_or_expiry_is_not_made(change: dict) -> None:
    with pytest.raises(ValueError, match="needs execution"):
        sign_token(dataclasses.replace(CLAIMS, **change), KEY)


def test_a_token_for_another_audience_opens_nothing() -> None:
    refused = verify_token(sign_token(dataclasses.replace(CLAIMS, audience="another service"), KEY), KEY, 0)
    assert isinstance(refused, TokenRefused)
    assert refused.code == "audience"


def test_a_token_that_lives_too_long_is_refused() -> None:
    token = sign_token(dataclasses.replace(CLAIMS, expires=MOST_LIFETIME_S + 1), KEY)
    refused = verify_token(token, KEY, 0)
    assert isinstance(refused, TokenRefused)
    assert refused.code == "lifetime"
    assert verify_token(token, KEY, 1) == dataclasses.replace(CLAIMS, expires=MOST_LIFETIME_S + 1)


def test_short_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="needs 32"):
        sign_token(CLAIMS, b"short")
