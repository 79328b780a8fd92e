"""Secrets in random renderings, among random bytes, in random pieces: none comes through, and nothing else changes."""

import itertools
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from egress.redaction import Redactor, StreamRedactor, UnfinishedError
from egress.scanner import Scanner
from tests.egress.spelled import SPELLINGS

SECRETS = st.text(st.sampled_from("abcABCxyz0189-_/+= \"'<>&%\\.~:;#ué€😀"), min_size=8, max_size=24)
MARK = re.compile(rb"\[redacted:[a-z]\]")
HYPHEN = "[redacted:"


def stream(redactor: Redactor, pieces: list[bytes]) -> bytes:
    running = StreamRedactor(redactor)
    return b"".join([*(running.feed(piece) for piece in pieces), running.finish()])


def cut(data: bytes, places: list[int]) -> list[bytes]:
    borders = sorted({0, len(data), *(place for place in places if place < len(data))})
    return [data[start:end] for start, end in itertools.pairwise(borders)]


def surroundings(*secrets: str) -> st.SearchStrategy[bytes]:
    """Anything, and what looks like the secrets without being one."""
    spelled = [SPELLINGS[name](secret) for name in SPELLINGS for secret in secrets]
    decoys = [text[:size] for text in spelled for size in (1, 4, len(text) // 2)]
    escapes = [b"%", b"%4", b"\\", b"\\u00", b"&", b"&#", b"&amp;", b"\n", b"\r\n", b"\\n"]
    return st.lists(st.sampled_from([*decoys, *escapes]) | st.binary(max_size=20), max_size=8).map(b" ".join)


@settings(max_examples=80, deadline=None)
@given(st.data(), SECRETS, st.sampled_from(sorted(SPELLINGS)), st.lists(st.integers(0, 600), max_size=8))
def test_no_spelling_comes_through_wherever_the_stream_is_cut(data, secret: str, name: str, places: list[int]) -> None:
    spelled = SPELLINGS[name](secret)
    before, after = data.draw(surroundings(secret)), data.draw(surroundings(secret))
    redactor = Redactor(Scanner([("s", secret.encode())]))
    whole = before + b"( " + spelled + b" )" + after
    clean, found = redactor.replace(whole)
    assert spelled not in clean
    assert found >= 1
    assert redactor.replace(clean)[1] == 0
    assert stream(redactor, cut(whole, places)) == clean


@settings(max_examples=60, deadline=None)
@given(st.data(), st.lists(SECRETS, min_size=1, max_size=3, unique=True), st.lists(st.integers(0, 900), max_size=6))
def test_what_is_no_secret_passes_byte_by_byte(data, secrets: list[str], places: list[int]) -> None:
    needles = [(chr(ord("a") + number), secret.encode()) for number, secret in enumerate(secrets)]
    redactor = Redactor(Scanner(needles))
    parts = [data.draw(surroundings(*secrets)) for _ in range(3)]
    names = data.draw(st.lists(st.sampled_from(sorted(SPELLINGS)), min_size=2, max_size=2))
    whole = b"".join(
        [parts[0], SPELLINGS[names[0]](secrets[0]), b" ", parts[1], b" ", SPELLINGS[names[1]](secrets[-1]), parts[2]]
    )
    ranges = [(each.start, each.end) for each in redactor.scanner.scan(whole, final=True).found]
    clean = stream(redactor, cut(whole, places))
    kept = bytes(octet for place, octet in enumerate(whole) if not any(a <= place < b for a, b in ranges))
    assert MARK.sub(b"", clean) == MARK.sub(b"", kept)


@pytest.mark.parametrize("name", SPELLINGS)
def test_every_spelling_at_every_border(name: str) -> None:
    secret = "aB3/x+y=z é&\"'<\\%41 ü😀9"
    whole = b"( " + SPELLINGS[name](secret) + b" )"
    redactor = Redactor(Scanner([("s", secret.encode())]))
    clean = redactor.replace(whole)[0]
    assert b"[redacted:s]" in clean
    assert SPELLINGS[name](secret) not in whole.replace(clean, b"") or clean.startswith(b"( ")
    for place in range(1, len(whole)):
        assert stream(redactor, [whole[:place], whole[place:]]) == clean


def test_escapes_before_a_secret_cannot_hide_it() -> None:
    """A guest that chooses what stands before the echo could try to swallow its first character."""
    redactor = Redactor(Scanner([("s", b"1abc/DEF+ghi")]))
    for before in (b"%", b"%4", b"\\\\", b"\\x4", b"\\u004", b"&#", b"&#x", b"&amp;#4", b"%25", b"%u004"):
        for echoed in (b"1abc/DEF+ghi", b"1abc\\/DEF+ghi", b"1abc%2FDEF%2Bghi", b"1abc&#47;DEF&#43;ghi"):
            kind = {b"%": b"%", b"\\": b"\\", b"&": b"&"}[before[:1]]
            if kind in echoed and before not in {b"\\\\", b"%25"}:
                continue  # an encoder of that kind would have escaped what stands before, too
            assert echoed not in redactor.replace(before + echoed)[0], (before, echoed)


def test_overlapping_secrets_leave_nothing_between_them() -> None:
    redactor = Redactor(Scanner([("a", b"abcdefgh"), ("b", b"efghijkl"), ("c", b"ijklmnop")]))
    assert redactor.replace(b"<abcdefghijklmnop>") == (b"<[redacted:a]>", 1)
    for place in range(1, 17):
        data = b"<abcdefghijklmnop>"
        assert stream(redactor, [data[:place], data[place:]]) == b"<[redacted:a]>"


def test_a_secret_that_repeats_itself_is_not_kept_for_ever() -> None:
    running = StreamRedactor(Redactor(Scanner([("s", b"abababab")])))
    passed = b"".join(running.feed(b"ab" * 5000) for _ in range(50))
    assert len(running._tail) <= 16
    assert passed + running.finish() == b"[redacted:s]"


def test_events_and_lines_flow_at_once() -> None:
    running = StreamRedactor(Redactor(Scanner([("s", b"s3cr3t/Value+with=chars")])))
    for event in (b"data: {}\n\n", b"data: hello\n\n", b'{"a": 1}\n', b"2026-11-21 line.\r\n\r\n"):
        assert running.feed(event) == event


def test_what_may_belong_to_a_secret_without_end_is_refused() -> None:
    """Only a spelling with endless padding could keep more than the limit waiting, and none is endless."""
    running = StreamRedactor(Redactor(Scanner([("s", b"abcdefghij")])))
    running._limit = 3
    with pytest.raises(UnfinishedError):
        running.feed(b"abcdef")


def test_short_secrets_have_fewer_spellings_so_that_other_text_is_left_alone() -> None:
    """Base64 of three bytes is four characters: among any text. A short secret is found as it is, and warned of."""
    redactor = Redactor(Scanner([("s", b"abc")]))
    text = bytes(range(32, 127)).replace(b"abc", b"") * 100
    assert redactor.replace(text) == (text, 0)
    assert redactor.replace(b"..abc..")[1] == 1
