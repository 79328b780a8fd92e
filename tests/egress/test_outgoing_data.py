"""Outgoing data rules against the live proxy: what they keep in does not reach an upstream."""

import gzip
import json
import zlib
from pathlib import Path

import pytest

from sandboxes.rule_set import RuleSet
from tests.egress import http2
from tests.egress.lab import Reply, World, render, rule, start
from tests.egress.origin import Origin, answer
from tests.egress.test_screen import SAMPLES

TOKEN = SAMPLES["github-token"]


def rules(world: World, *dlp: dict, **fields) -> RuleSet:
    ports = [world.plain.port, world.secure.port]
    return RuleSet.model_validate({"rules": [rule(ports=ports, **fields)], "dlp": dlp})


def post(world: World, token: str, body: bytes, *headers: str, path: str = "/up") -> Reply:
    head = [f"POST {world.http}{path} HTTP/1.1", f"Host: api.example.test:{world.plain.port}", *headers]
    return world.lab.request("\n".join([*head, f"Content-Length: {len(body)}"]), token, body)


KEEP_IN = {"name": "tokens", "find": ["github-token", "card-number"]}
MASK = {"name": "people", "find": ["email-address"], "action": "redact"}


def test_a_body_is_refused_before_any_of_it_leaves(world: World) -> None:
    token = world.load(rules(world, KEEP_IN))
    reply = post(world, token, json.dumps({"note": TOKEN}).encode(), path="/blocked")
    assert reply.status == 403
    said = reply.json()
    assert (said["error"], said["code"], said["rule"]) == ("egress_denied", "dlp", "r")
    assert said["hint"] == {"pattern": "github-token", "part": "body"}
    assert TOKEN not in repr(reply)
    assert world.plain.received == []
    record = world.lab.record("/blocked")
    assert (record["code"], record["dlp"]) == ("dlp", {"github-token": 1})


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_a_body_in_a_coding_is_read(world: World, coding: str) -> None:
    token = world.load(rules(world, KEEP_IN))
    raw = gzip.compress(TOKEN.encode()) if coding == "gzip" else zlib.compress(TOKEN.encode())
    assert post(world, token, raw, f"Content-Encoding: {coding}").json()["code"] == "dlp"
    assert post(world, token, b"x", "Content-Encoding: br").json()["code"] == "coding"
    assert world.plain.received == []


def test_a_redacted_body_has_the_length_it_says(world: World) -> None:
    token = world.load(rules(world, MASK))
    assert post(world, token, b'{"to": "someone@example.org"}', path="/masked").status == 200
    sent = world.plain.received[0]
    assert sent.body == b'{"to": "[redacted:email-address]"}'
    assert sent.header("content-length") == str(len(sent.body))
    assert world.lab.record("/masked")["dlp"] == {"email-address": 1}


def test_other_requests_pass_as_they_are(world: World) -> None:
    token = world.load(rules(world, KEEP_IN, MASK))
    body = bytes(range(256)) * 20
    assert post(world, token, body).status == 200
    assert world.plain.received[0].body == body


@pytest.mark.parametrize("where", ["query", "path", "header"])
def test_the_head_is_refused_and_not_recorded(world: World, where: str) -> None:
    token = world.load(rules(world, KEEP_IN))
    path = {"query": f"/q?t={TOKEN}", "path": f"/p/{TOKEN}", "header": "/h"}[where]
    fields = (f"X-Note: {TOKEN}",) if where == "header" else ()
    reply = world.lab.get(f"{world.http}{path}", token, *fields)
    assert (reply.status, reply.json()["code"]) == (403, "dlp")
    assert world.plain.received == []
    world.lab.get(f"{world.http}/after", token)
    world.lab.record("/after")
    assert TOKEN not in world.lab.events.read_text()


def test_a_query_is_redacted(world: World) -> None:
    token = world.load(rules(world, MASK))
    world.lab.get(f"{world.http}/q?a=1&to=someone%40example.org", token)
    assert world.plain.received[0].line == "GET /q?a=1&to=%5Bredacted%3Aemail-address%5D HTTP/1.1"


def test_a_long_body_is_broken_off_where_it_is_found(world: World) -> None:
    """Too long to be held: what came before has left, the find has not, and the upstream sees no whole request."""
    token = world.load(rules(world, KEEP_IN))
    body = b"x" * 3_000_000 + b" " + TOKEN.encode() + b" " + b"y" * 100_000
    reply = post(world, token, body, path="/long")
    assert (reply.status, reply.json()["code"]) == (403, "dlp")
    assert world.lab.record("/long")["dlp"] == {"github-token": 1}
    assert all(TOKEN.encode() not in request.body for request in world.plain.received)
    assert all(len(request.body) < len(body) for request in world.plain.received)


def test_a_chunked_body_whose_end_is_kept_in_is_no_whole_request(world: World) -> None:
    token = world.load(rules(world, KEEP_IN))
    wire = world.lab.wire()
    host = f"api.example.test:{world.plain.port}"
    wire.send(render(f"POST {world.http}/chunks HTTP/1.1\nHost: {host}\nTransfer-Encoding: chunked", token))
    for piece in (b"before ", TOKEN[:9].encode(), TOKEN[9:].encode()):
        wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    wire.send(b"0\r\n\r\n")
    reply = wire.reply()
    assert (reply.status, reply.json()["code"]) == (403, "dlp")
    assert world.lab.record("/chunks")["code"] == "dlp"
    assert world.plain.received == []


def test_a_chunked_body_is_redacted_as_it_streams(world: World) -> None:
    token = world.load(rules(world, MASK))
    wire = world.lab.wire()
    host = f"api.example.test:{world.plain.port}"
    wire.send(render(f"POST {world.http}/stream HTTP/1.1\nHost: {host}\nTransfer-Encoding: chunked", token))
    for piece in (b"z" * 40_000, b" someone@exa", b"mple.org ", b"z" * 40_000):
        wire.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    wire.send(b"0\r\n\r\n")
    assert wire.reply().status == 200
    assert world.plain.received[0].body == b"z" * 40_000 + b" [redacted:email-address] " + b"z" * 40_000


def test_over_http2(world: World) -> None:
    token = world.load(rules(world, KEEP_IN))
    authority = f"api.example.test:{world.secure.port}"
    for body in (TOKEN.encode(), b"x" * 2_000_000 + b" " + TOKEN.encode()):
        reply = http2.request(world.lab, authority, token, method="POST", body=body)
        assert (reply.status, reply.json()["code"]) == (403, "dlp")
    assert world.secure.received == []


def test_the_credential_that_the_proxy_adds_is_not_outgoing_data(tmp_path: Path) -> None:
    origin = Origin(lambda _: answer())
    allowed = rule(ports=[origin.port], inject={"secret": "s", "as": "bearer"})
    screened = RuleSet.model_validate({"rules": [allowed], "dlp": [KEEP_IN]})
    lab = start(
        tmp_path, screened, hosts={"api.example.test": "127.0.0.1"}, secrets={"s": {"env": "S"}}, env={"S": TOKEN}
    )
    url = f"http://api.example.test:{origin.port}/"
    assert lab.get(url, lab.token(screened)).status == 200
    assert origin.received[0].header("authorization") == f"Bearer {TOKEN}"
    assert lab.get(f"{url}?t={TOKEN}", lab.token(screened)).json()["code"] == "dlp"
    lab.stop()
    origin.close()


def test_an_exempt_egress_rule_may_carry_it(world: World) -> None:
    token = world.load(rules(world, {**KEEP_IN, "exempt": ["r"]}))
    assert post(world, token, TOKEN.encode()).status == 200
    assert world.plain.received[0].body == TOKEN.encode()
