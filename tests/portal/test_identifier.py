"""Names a program can write, whatever the upstream says."""

import keyword
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.portal.identifier import RESERVED, distinct_identifiers, identifier, split_words

SAFE = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("get_weather", "get_weather"),
        ("issues/list-for-repo", "issuesListForRepo"),
        ("get /pets/{petId}", "getPetsPetId"),
        ("create-note", "createNote"),
        ("GET", "GET"),
        ("HTTP-status", "httpStatus"),
        ("__proto__", "proto"),
        ("_secret", "secret"),
        ("constructor", "constructor_"),
        ("then", "then_"),
        ("toString", "toString_"),
        ("delete", "delete_"),
        ("None", "None_"),
        ("lambda", "lambda_"),
        ("123go", "n123go"),
        ("naïve-café", "naiveCafe"),
    ],
)
def test_becomes(name: str, safe: str) -> None:
    assert identifier(name) == safe


def test_what_cannot_be_kept_leaves_a_hash() -> None:
    assert re.fullmatch(r"tool_[0-9a-f]{6}", identifier("获取天气"))
    assert identifier("获取") != identifier("天气")
    assert re.fullmatch(r"weather_[0-9a-f]{6}", identifier("天气 weather"))
    assert re.fullmatch(r"tool_[0-9a-f]{6}", identifier(""))


@given(st.text(max_size=300))
def test_always_safe_and_always_the_same(name: str) -> None:
    safe = identifier(name)
    assert SAFE.fullmatch(safe)
    assert safe not in RESERVED
    assert not keyword.iskeyword(safe)
    assert len(safe) <= 97
    assert identifier(name) == safe


@given(st.lists(st.text(alphabet="aA-_/é.1", max_size=5), max_size=12, unique=True), st.randoms())
def test_names_never_clash_and_do_not_hang_on_the_order(names: list[str], order: random.Random) -> None:
    pairs = [(name, name) for name in names]
    first = dict(zip(names, distinct_identifiers(pairs), strict=True))
    assert len(set(first.values())) == len(names)
    shuffled = list(pairs)
    order.shuffle(shuffled)
    again = dict(zip([name for name, _ in shuffled], distinct_identifiers(shuffled), strict=True))
    assert again == first


def test_an_exact_name_keeps_itself_when_another_would_become_it() -> None:
    assert distinct_identifiers([("a-b", "1"), ("aB", "2")])[1] == "aB"


def test_two_of_one_name_are_told_apart_by_their_keys() -> None:
    one, other = distinct_identifiers([("get", "GET /a"), ("get", "GET /b")])
    assert one != other
    assert one.startswith("get_")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("issuesListForRepo", ["issues", "list", "for", "repo"]),
        ("HTTPServer_2", ["http", "server", "2"]),
        ("get-user's", ["get", "user", "s"]),
        ("", []),
    ],
)
def test_words(name: str, words: list[str]) -> None:
    assert split_words(name) == words
