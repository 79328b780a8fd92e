"""Secrets: a type that cannot show them, and a stream that does not carry them."""

import copy
import itertools
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.redaction import Redactor, StreamRedactor, redactor_for
from egress.secrets import Missing, Secret, SecretStore
from sandboxes.secret_source import SecretSource

VALUE = b"super-secret-value"


def stream(redactor: Redactor, pieces: list[bytes]) -> bytes:
    running = StreamRedactor(redactor)
    return b"".join([*(running.feed(piece) for piece in pieces), running.finish()])


def test_a_secret_cannot_be_printed() -> None:
    secret = Secret("s", VALUE)
    shown = [repr(secret), str(secret), f"{secret}", f"{secret!r}", "%s" % secret, json.dumps(secret, default=str)]  # noqa: UP031
    assert not any("super" in text for text in shown)
    for way in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be copied"):
            way(secret)
    with pytest.raises(TypeError):
        vars(secret)


@given(st.binary(min_size=1, max_size=6), st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_where_a_stream_is_cut_makes_no_difference(needle: bytes, data: bytes, cuts: list[int]) -> None:
    data = data[:30] + needle + data[30:]
    redactor = redactor_for(frozenset({("s", needle)}))
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[start:end] for start, end in itertools.pairwise(borders)]
    assert stream(redactor, pieces) == redactor.replace(data)[0]


@given(
    st.lists(st.sampled_from([b"ab", b"aba", b"abab", b"b", b"bab", b"cabc"]), min_size=1, max_size=3, unique=True),
    st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=30),
)
def test_needles_within_and_across_each_other(needles: list[bytes], pieces: list[bytes]) -> None:
    redactor = redactor_for(frozenset((str(number), needle) for number, needle in enumerate(needles)))
    assert stream(redactor, pieces) == redactor.replace(b"".join(pieces))[0]


def test_only_what_may_begin_a_secret_is_held_back() -> None:
    running = StreamRedactor(redactor_for(frozenset({("s", VALUE)})))
    assert running.feed(b"data: {}\n\n") == b"data: {}\n\n"
    assert running.feed(b"data: super-se") == b"data: "
    assert running.feed(b"a lion\n") == b"super-sea lion\n"


def test_every_occurrence_is_counted() -> None:
    running = StreamRedactor(redactor_for(frozenset({("s", VALUE)})))
    running.feed(VALUE * 3)
    running.finish()
    assert running.count == 3


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"", "is empty"),
        (b"x" * 70_000, "longer than"),
    ],
)
def test_values_that_are_refused(tmp_path, value: bytes, reason: str) -> None:
    (tmp_path / "f").write_bytes(value)
    found = SecretStore({"s": SecretSource(file=str(tmp_path / "f"))}).get("s")
    assert isinstance(found, Missing)
    assert reason in found.reason
    assert '"s"' in found.reason


def test_files_are_read_again_when_they_change(tmp_path) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"first-value\n")
    store = SecretStore({"s": SecretSource(file=str(file))})
    assert store.get("s").expose() == b"first-value"
    file.write_bytes(b"second-value!\r\n")
    assert store.get("s").expose() == b"second-value!"
    file.unlink()
    assert isinstance(store.get("s"), Missing)
    assert store.known() == []


def test_environment_and_unknown_secrets() -> None:
    store = SecretStore({"s": SecretSource(env="S"), "t": SecretSource(env="T")}, {"S": "short"})
    assert store.get("s").expose() == b"short"
    assert isinstance(store.get("t"), Missing)
    assert "not configured" in store.get("u").reason
    assert store.warnings() == [
        'secret "s" is shorter than 8 bytes and is easily guessed',
        'secret "t" has no value: the variable T is not set',
    ]
