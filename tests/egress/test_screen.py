"""Outgoing data rules: what is found, in which spelling, and that nothing else is."""

import base64
import gzip
import html
import itertools
import json
import random
from typing import get_args
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress.dlp_patterns import patterns_for, patterns_of, present
from egress.outgoing import Outgoing
from egress.request import Denial
from egress.screen import OVERLAP, Screen, found
from sandboxes.authority import Authority
from sandboxes.dlp import DlpRule, Known

# Assembled here, so that this file itself holds nothing that looks like a credential.
SAMPLES: dict[Known, str] = {
    "private-key": "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----",
    "aws-access-key": "AKIA" + "IOSFODNN7EXAMPLE",
    "aws-secret-key": "aws_secret_access_key = " + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "google-api-key": "AIza" + "SyA1234567890abcdefghijklmnopqrstuv",
    "azure-storage-key": "AccountKey=" + "A1b2" * 21 + "xy==",
    "github-token": "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a",
    "gitlab-token": "glpat-" + "AbCdEfGhIjKlMnOpQrSt",
    "slack-token": "xoxb-" + "17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
    "stripe-key": "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc",
    "jwt": "eyJhbGciOiJIUzI1NiJ9." + "eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
    "card-number": "4111 1111 1111 1111",
    "iban": "GB82 WEST 1234 5698 7654 32",
    "email-address": "someone@example.org",
}
INNOCENT = [
    "order 4111 1111 1111 1112 of 2026-11-21",
    "GB82 WEST 1234 5698 7654 33",
    "1234567890123456789012345678901234567890",
    "ghp_short, sk_live_, eyJ.eyJ.x, AKIA" + "lowercase1234567, xoxb-1",
    "-----BEGIN CERTIFICATE-----",
    "2026-11-21T15:00:00.123456+00:00 550e8400-e29b-41d4-a716-446655440000",
    "a@b, @example.org, user@localhost",
]
EVERYTHING = DlpRule(name="all", find=get_args(Known))
CARDS = DlpRule(name="cards", find=("card-number",))
REDACT = DlpRule(name="all", find=get_args(Known), action="redact")
SPELLINGS = {
    "plain": str.encode,
    "percent": lambda text: quote(text, safe="").encode(),
    "JSON": lambda text: "".join(f"\\u{ord(each):04x}" for each in text).encode(),
    "HTML": lambda text: "".join(f"&#{ord(each)};" for each in text).encode(),
    "HTML by name": lambda text: html.escape(text).encode(),
    "base64": lambda text: base64.b64encode(f"a longer text with {text} in it".encode()),
    "base64url": lambda text: base64.urlsafe_b64encode(f"a longer text with {text} in it".encode()).rstrip(b"="),
    "base64 in JSON": lambda text: json.dumps(
        base64.b64encode(f"a longer text with {text} in it".encode()).decode().replace("/", "\\u002f")
    ).encode(),
}


def names(data: bytes, rule: DlpRule = EVERYTHING) -> set[str]:
    return {hit.pattern.name for hit in found(data, list(patterns_of((rule,))))}


def outgoing(**fields) -> Outgoing:
    base = {"method": "POST", "scheme": "https", "authority": Authority("api.example.test", 443), "path": "/"}
    return Outgoing(**{**base, "query": None, "headers": (), "body": b"", **fields})


def test_there_is_a_sample_and_a_pattern_for_every_known_kind() -> None:
    assert set(SAMPLES) == set(get_args(Known))
    assert {pattern.name for pattern in patterns_of((EVERYTHING,))} == set(SAMPLES)


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("known", SAMPLES)
def test_every_known_kind_in_every_spelling(known: Known, spelling: str) -> None:
    assert known in names(b"before " + SPELLINGS[spelling](SAMPLES[known]) + b" after")


@pytest.mark.parametrize("text", INNOCENT)
def test_what_only_looks_like_it_passes(text: str) -> None:
    assert names(text.encode()) == set()


def test_a_card_number_is_found_among_other_digits() -> None:
    for text in ("id 77 4111111111111111", "4111111111111111 12/29 123", "5555-5555-5555-4444", "378282246310005"):
        assert names(text.encode()) == {"card-number"}, text


def test_an_iban_is_found_before_other_words() -> None:
    assert names(b"pay DE89370400440532013000 now please") == {"iban"}
    hits = list(found(b"to DE89 3704 0044 0532 0130 00 from him", list(patterns_of((EVERYTHING,)))))
    assert (hits[0].start, hits[0].end) == (3, 30)


def luhn(digits: str) -> bool:
    """ISO/IEC 7812-1, annex B, to the letter."""
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(value // 10 + value % 10 for value in doubled) % 10 == 0


@given(st.lists(st.text("0123456789", min_size=1, max_size=20), max_size=12), st.sampled_from([" ", "-", ""]))
def test_a_card_number_is_any_row_of_whole_groups_with_a_good_check_digit(groups: list[str], between: str) -> None:
    groups = groups if between else ["".join(groups)[:19]]
    rows = ["".join(groups[first:last]) for first in range(len(groups)) for last in range(first + 1, len(groups) + 1)]
    cards = [row for row in rows if 13 <= len(row) <= 19 and row[0] in "23456" and luhn(row)]
    text = between.join(groups)
    # A run is looked at up to its 41st digit.
    if sum(map(len, groups)) <= 41:
        assert names(text.encode(), CARDS) == ({"card-number"} if cards else set())


@given(st.integers(0, 10**14 - 1))
def test_every_card_number_has_one_good_check_digit(number: int) -> None:
    numbers = [f"4{number:014d}{digit}" for digit in range(10)]
    assert [bool(names(text.encode(), CARDS)) for text in numbers] == [luhn(text) for text in numbers]
    assert sum(map(luhn, numbers)) == 1


@given(st.data())
def test_the_search_for_all_kinds_leaves_out_none_that_is_there(data: st.DataObject) -> None:
    """Samples with pieces taken out, put twice, or set between bytes of any kind."""
    sample = data.draw(st.sampled_from(sorted(SAMPLES.values()))).encode()
    cut = data.draw(st.lists(st.integers(0, len(sample)), min_size=2, max_size=2).map(sorted))
    made = sample[: cut[0]] + data.draw(st.binary(max_size=3)) + sample[data.draw(st.sampled_from(cut)) :]
    text = data.draw(st.binary(max_size=5)) + made + data.draw(st.binary(max_size=5))
    patterns = list(patterns_of((EVERYTHING,)))
    there = present(patterns, text)
    assert all(pattern in there for pattern in patterns if pattern.regex.search(text))


def test_the_local_part_of_an_address_is_no_longer_than_it_may_be() -> None:
    (hit,) = found(b"x" * 200 + b"@example.org", list(patterns_of((DlpRule(name="m", find=("email-address",)),))))
    assert (hit.start, hit.end) == (200 - 64, 212)


def test_a_refusal_names_the_pattern_and_never_what_was_found() -> None:
    screen = Screen((EVERYTHING,), "r")
    refused = screen.step(outgoing(body=SAMPLES["github-token"].encode()))
    assert isinstance(refused, Denial)
    assert (refused.code, refused.rule, refused.hint) == ("dlp", "r", {"pattern": "github-token", "part": "body"})
    assert "ghp" not in repr(refused)
    assert screen.hits == {"github-token": 1}


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"path": "/x/" + SAMPLES["stripe-key"]}, "path"),
        ({"query": "k=" + quote(SAMPLES["card-number"])}, "query"),
        ({"headers": ((b"x-note", SAMPLES["jwt"].encode()),)}, "headers"),
    ],
)
def test_the_head_is_screened(fields: dict, part: str) -> None:
    refused = Screen((EVERYTHING,), "r").head(outgoing(**fields))
    assert isinstance(refused, Denial)
    assert refused.hint["part"] == part


def test_redacting_a_head_leaves_the_rest() -> None:
    screen = Screen((REDACT,), "r")
    clean = screen.head(outgoing(query="a=1&mail=someone%40example.org&b=2", headers=((b"x", b"a@example.org!"),)))
    assert clean.query == "a=1&mail=%5Bredacted%3Aemail-address%5D&b=2"
    assert clean.headers == ((b"x", b"[redacted:email-address]!"),)
    assert screen.hits == {"email-address": 2}


def test_a_path_is_never_redacted() -> None:
    assert isinstance(Screen((REDACT,), "r").head(outgoing(path="/" + SAMPLES["stripe-key"])), Denial)


def test_parts_and_exemptions() -> None:
    rule = DlpRule(name="mail", find=("email-address",), parts=("body",), exempt=("crm",))
    assert patterns_for((rule,), "query", "r") == []
    assert patterns_for((rule,), "body", "crm") == []
    assert [pattern.name for pattern in patterns_for((rule,), "body", "r")] == ["email-address"]


def test_a_pattern_of_the_operators_own_is_known_by_its_rule() -> None:
    rule = DlpRule(name="project-names", pattern="(?i)project [a-zäöü]+-[0-9]{3}")
    assert names("das PROJECT Fünf-007!".encode(), rule) == {"project-names"}


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(sorted(SAMPLES)),
    st.sampled_from(["plain", "percent", "JSON", "HTML", "base64"]),
    st.integers(0, 3 * OVERLAP),
    st.lists(st.integers(1, 4 * OVERLAP), max_size=6),
    st.integers(0, 2**32),
)
def test_a_streamed_body_is_screened_wherever_it_is_cut(
    known: Known, spelling: str, size: int, places: list[int], seed: int
) -> None:
    filler = bytes(random.Random(seed).choices(b"abcdefgh ,.\n", k=size))
    body = filler + b" " + SPELLINGS[spelling](SAMPLES[known]) + b" " + filler
    borders = sorted({0, len(body), *(place for place in places if place < len(body))})
    pieces = [body[a:b] for a, b in itertools.pairwise(borders)]
    screen = Screen((DlpRule(name="k", find=(known,), action="redact"),), "r")
    passed = b"".join([*(screen.feed(piece, final=False, fixed=False) for piece in pieces)])
    passed += screen.feed(b"", final=True, fixed=False)
    assert passed == filler + b" [redacted:%s] " % known.encode() + filler
    assert screen.hits == {known: 1}


def test_a_streamed_body_of_announced_length_is_blocked_where_it_would_be_redacted() -> None:
    screen = Screen((REDACT,), "r")
    assert isinstance(screen.feed(SAMPLES["jwt"].encode(), final=True, fixed=True), Denial)


def test_what_is_found_and_does_not_end_is_blocked() -> None:
    screen = Screen((DlpRule(name="own", pattern="secret:[a-z]+", action="redact"),), "r")
    screen.feed(b"secret:", final=False, fixed=False)
    outcomes = [screen.feed(b"x" * 20_000, final=False, fixed=False) for _ in range(5)]
    assert any(isinstance(outcome, Denial) for outcome in outcomes)
    assert b"x" not in b"".join(each for each in outcomes if isinstance(each, bytes))


def test_bodies_that_are_looked_at_whole() -> None:
    screen = Screen((EVERYTHING,), "r")
    assert screen.holds((), 10, 1000)
    assert not screen.holds((), 2000, 1000)
    assert not screen.holds((), None, 1000)
    assert not screen.holds((), 0, 1000)
    assert screen.holds(((b"Content-Encoding", b"gzip"),), None, 1000)


def test_compressed_noise_is_no_find() -> None:
    noise = random.Random(1).randbytes(2_000_000)
    assert names(noise + gzip.compress(noise[:1000])) <= {"email-address"}
