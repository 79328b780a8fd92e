"""What approvers see has no secrets, and everything else."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.masking import (
    is_secret_name,
    masked,
    masked_body,
    masked_code,
    masked_headers,
    masked_text,
    masked_url,
)

TOKEN = "ghp_" + "a1B2" * 9
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "name",
    ["password", "Password", "db_password", "apiKey", "api_key", "accessToken", "client-secret", "PIN", "x-api-key",
     "refresh_token", "Authorization", "privateKey"],
)  # fmt: skip
def test_names_of_secrets(name: str) -> None:
    assert is_secret_name(name)
    assert masked({name: "hunter2hunter2"}) == {name: "[removed: 14 characters]"}


@pytest.mark.parametrize("name", ["amount", "next_page_token", "maxTokens", "passenger", "pinned", "secretary", "keys"])
def test_other_names(name: str) -> None:
    assert masked({name: "value"}) == {name: "value"}


@pytest.mark.parametrize("secret", [TOKEN, JWT, "AKIA" + "A" * 16, "Bearer abcdefghijklmnop"])
def test_secrets_are_known_by_their_form_wherever_they_are(secret: str) -> None:
    nested = {"note": f"use {secret} please", "list": [{"deep": secret}]}
    assert secret not in json.dumps(masked(nested))
    assert "please" in masked(nested)["note"]
    assert secret not in masked_text(f"x {secret}")


def test_under_the_name_of_a_secret_only_text_is_removed() -> None:
    assert masked({"token": {"delete": ["all"], "n": 5}}) == {"token": {"delete": ["all"], "n": 5}}
    assert masked({"secrets": ["a", 1]}) == {"secrets": ["[removed: 1 characters]", 1]}


def test_urls_headers_and_bodies() -> None:
    assert masked_url("https://a.example/x?token=abc&page=2") == (
        "https://a.example/x?token=[removed: 3 characters]&page=2"
    )
    assert masked_headers([("Authorization", "x"), ("accept", "y")]) == (
        ("Authorization", "[removed: 1 characters]"),
        ("accept", "y"),
    )
    assert json.loads(masked_body('{"password": "x", "n": 1}')) == {"password": "[removed: 1 characters]", "n": 1}
    assert masked_body("password=x&n=1") == "password=[removed: 1 characters]&n=1"
    assert masked_body("plain text") == "plain text"


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("login({password: 'hunter2'})", "login({password: '[removed: 7 characters]'})"),
        ('api_key = "abc"', 'api_key = "[removed: 3 characters]"'),
        ('{"token": "a\\"b", "n": "x"}', '{"token": "[removed: 4 characters]", "n": "x"}'),
        ("if token == 'x': pass", "if token == 'x': pass"),
        ("name = 'x'", "name = 'x'"),
        (f"fetch(u, '{TOKEN}')", "fetch(u, '[removed: github-token]')"),
        ("password: '" + "x" * 5_000, "password: '" + "x" * 5_000),
    ],
)
def test_literals_in_programs(line: str, shown: str) -> None:
    assert masked_code(line) == shown


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=20,
)


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(each) for key, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return "" if isinstance(value, str) else value


@given(JSON)
def test_nothing_but_text_is_ever_changed(value: Any) -> None:
    assert shape(masked(value)) == shape(value)
