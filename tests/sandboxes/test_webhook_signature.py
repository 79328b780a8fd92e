"""Webhook signatures: the standard's own example, and everything that is not genuine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.webhook_signature import Genuine, NotGenuine, key_of, signed_headers, verify

# From the Standard Webhooks specification.
KEY = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
BODY = b'{"test": 2432232314}'
HEADERS = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
NOW = 1_614_265_330


def test_the_example_of_the_standard() -> None:
    assert signed_headers(KEY, HEADERS["webhook-id"], NOW, BODY) == HEADERS
    assert verify(KEY, HEADERS, BODY, NOW) == Genuine(id=HEADERS["webhook-id"])


def test_one_good_signature_among_several_is_enough() -> None:
    several = f"v1a,xyz v1,AAAA {HEADERS['webhook-signature']} v2,zzz"
    assert isinstance(verify(KEY, {**HEADERS, "webhook-signature": several}, BODY, NOW), Genuine)


@pytest.mark.parametrize(
    ("changed", "body", "now", "said"),
    [
        ({"webhook-signature": ""}, BODY, NOW, "webhook-signature"),
        ({"webhook-signature": "v1,"}, BODY, NOW, "webhook-signature"),
        ({"webhook-signature": "v2,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, BODY, NOW, "webhook-signature"),
        ({"webhook-signature": "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}, BODY, NOW, "webhook-signature"),
        ({"webhook-signature": "v1,\ud800"}, BODY, NOW, "webhook-signature"),
        ({"webhook-id": ""}, BODY, NOW, "webhook-id"),
        ({"webhook-id": "x" * 201}, BODY, NOW, "webhook-id"),
        ({"webhook-id": "other"}, BODY, NOW, "webhook-signature"),
        ({"webhook-timestamp": ""}, BODY, NOW, "webhook-timestamp"),
        ({"webhook-timestamp": "1614265331"}, BODY, NOW, "webhook-signature"),
        ({"webhook-timestamp": "-1"}, BODY, NOW, "webhook-timestamp"),
        ({"webhook-timestamp": "1e9"}, BODY, NOW, "webhook-timestamp"),
        ({"webhook-timestamp": "9" * 400}, BODY, NOW, "webhook-timestamp"),
        ({}, BODY + b" ", NOW, "webhook-signature"),
        ({}, BODY, NOW + 301, "300 s"),
        ({}, BODY, NOW - 301, "300 s"),
    ],
)
def test_what_is_not_genuine(changed: dict[str, str], body: bytes, now: float, said: str) -> None:
    found = verify(KEY, {**HEADERS, **changed}, body, now)
    assert isinstance(found, NotGenuine)
    assert said in found.reason
    assert "g0hM9SsE" not in found.reason


def test_another_key_does_not_verify() -> None:
    assert isinstance(verify(KEY[:-1] + b"x", HEADERS, BODY, NOW), NotGenuine)


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!!!!"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        key_of(text)


@given(st.binary(min_size=24, max_size=64), st.text("abc._-", min_size=1), st.integers(0, 10**10), st.binary())
def test_what_is_signed_is_genuine_and_nothing_beside_it(key: bytes, name: str, now: int, body: bytes) -> None:
    headers = signed_headers(key, name, now, body)
    assert verify(key, headers, body, now) == Genuine(id=name)
    assert isinstance(verify(key, headers, body + b"x", now), NotGenuine)
    assert isinstance(verify(key, {**headers, "webhook-id": f"{name}a"}, body, now), NotGenuine)
