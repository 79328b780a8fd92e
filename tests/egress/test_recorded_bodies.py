"""Bodies in events: only where a rule says so, bounded, and never with a secret."""

import gzip
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.body_record import BodyRecord
from egress.redaction import NOTHING, redactor_for
from tests.egress.asking import TO_HTTPS, Ask, Asked
from tests.egress.lab import SECRET, World, rule, rule_set
from tests.egress.origin import answer

KNOWN = redactor_for(frozenset({("s", b"hunter22hunter22")}))


@given(st.lists(st.binary(max_size=30)), st.integers(1, 64))
def test_what_is_kept_is_a_beginning(pieces: list[bytes], limit: int) -> None:
    record, whole = BodyRecord(limit), b"".join(pieces)
    for piece in pieces:
        record.add(piece)
    shown = record.shown(NOTHING)
    assert (shown is None) == (not whole)
    if shown is not None:
        assert (shown["bytes"], shown["truncated"]) == (len(whole), len(whole) > limit)
        assert len(json.dumps(shown)) < 6 * limit + 100


@given(st.integers(0, 20), st.integers(1, 60))
def test_a_secret_that_is_cut_off_is_not_kept_in_part(before: int, limit: int) -> None:
    record = BodyRecord(limit)
    record.add(b"x" * before + b"hunter22hunter22" + b"y" * 60)
    said = record.shown(KNOWN)["text"]
    assert "hunt" not in said
    assert said.startswith("x" * min(before, limit))


def test_a_character_that_is_cut_off_does_not_make_text_binary() -> None:
    record = BodyRecord(4)
    record.add("aé€".encode())
    assert record.shown(NOTHING) == {"text": "aé", "bytes": 6, "truncated": True}
    binary = BodyRecord(4)
    binary.add(b"\xff\x00\x01\x02\x03")
    assert binary.shown(NOTHING) == {"base64": "/wABAg==", "bytes": 5, "truncated": True}


def recording(world: World, **fields) -> str:
    return world.load(rule_set(rule(ports=[world.secure.port], record_body_bytes=100, **fields)))


@TO_HTTPS
def test_bodies_of_a_rule_that_says_so(world: World, ask: Ask) -> None:
    world.secure.handler = lambda _: answer(b"came " + b"y" * 200)
    token = recording(world)
    asked = Asked(
        host="api.example.test", port=world.secure.port, token=token, path=f"/recorded/{ask.__name__}", method="POST",
        body=b"sent",
    )  # fmt: skip
    assert ask(world, asked).status == 200
    record = world.lab.record(asked.path)
    assert record["request_body"] == {"text": "sent", "bytes": 4, "truncated": False}
    assert record["response_body"] == {"text": "came " + "y" * 95, "bytes": 205, "truncated": True}


def test_no_other_rules_bodies(world: World) -> None:
    world.lab.get(f"{world.https}/unrecorded", world.token())
    record = world.lab.record("/unrecorded")
    assert not {"request_body", "response_body"} & {name for name, value in record.items() if value is not None}


@TO_HTTPS
def test_a_secret_is_in_neither(world: World, ask: Ask) -> None:
    token = recording(world, inject={"secret": "ledger-token", "as": "json", "pointer": "/token"}, name="in-json")
    asked = Asked(
        host="api.example.test", port=world.secure.port, token=token, path=f"/secret/{ask.__name__}", method="POST",
        headers=[("content-type", "application/json")], body=b'{"a": 1}',
    )  # fmt: skip
    assert ask(world, asked).status == 200
    assert SECRET in world.secure.received[-1].body.decode()
    record = world.lab.record(asked.path)
    assert "[redacted:ledger-token]" in record["request_body"]["text"]
    assert SECRET not in json.dumps(record)


@pytest.mark.parametrize("coding", ["gzip", "compress"])
def test_a_body_that_nobody_looked_into_is_not_kept(world: World, coding: str) -> None:
    body = gzip.compress(SECRET.encode())
    world.secure.handler = lambda _: answer(body, "200 OK", ("Content-Encoding", coding))
    path = f"/coded/{coding}"
    world.lab.get(f"{world.https}{path}", recording(world, name="coded"), "Accept-Encoding: gzip")
    assert world.lab.record(path).get("response_body") is None
