"""ATTACKS, "At the egress proxy": the secret echoed back, in every spelling, place, coding and protocol."""

import gzip
import itertools
import json
import zlib
from collections.abc import Callable
from pathlib import Path

import brotli
import pytest
import zstandard

from tests.egress import http2
from tests.egress.asking import TO_HTTPS, Ask, Asked
from tests.egress.http2_origin import Http2Origin
from tests.egress.lab import SECRET, Reply, World, rule, rule_set, start
from tests.egress.origin import Origin, answer
from tests.egress.spelled import SPELLINGS

MARK = b"[redacted:ledger-token]"
CODINGS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


def get(world: World, path: str = "/", *headers: str) -> Reply:
    return world.lab.get(f"{world.https}{path}", world.token(world.with_secret), *headers)


def asked(world: World, path: str = "/") -> Asked:
    token = world.token(world.with_secret)
    return Asked(host="api.example.test", port=world.secure.port, token=token, path=path)


@TO_HTTPS
@pytest.mark.parametrize("name", SPELLINGS)
def test_the_secret_in_every_spelling_in_a_body_and_a_header(world: World, ask: Ask, name: str) -> None:
    spelled = SPELLINGS[name](SECRET)
    shown = spelled if b"\0" not in spelled and b"\n" not in spelled else b"-"
    world.secure.handler = lambda _: (
        b"HTTP/1.1 200 OK\r\nX-Echo: %s\r\nContent-Length: %d\r\n\r\n(%s)" % (shown, len(spelled) + 2, spelled)
    )
    reply = ask(world, asked(world))
    assert spelled not in reply.body
    assert MARK in reply.body
    assert reply.body[:1] + reply.body[-1:] == b"()"
    assert shown == b"-" or shown.decode("latin-1") not in (reply.header("x-echo") or "")


@pytest.mark.parametrize("name", SPELLINGS)
def test_the_secret_in_every_spelling_in_pieces_of_one_byte(world: World, name: str) -> None:
    spelled = b"(" + SPELLINGS[name](SECRET) + b")"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    world.secure.handler = lambda _: [head, *(b"1\r\n%c\r\n" % octet for octet in spelled), b"0\r\n\r\n"]
    body = get(world).body
    assert MARK in body
    assert SPELLINGS[name](SECRET) not in body
    assert body[:1] + body[-1:] == b"()"


@TO_HTTPS
@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [1, 700, 65536])
def test_the_secret_in_a_coding_comes_back_without_both(world: World, ask: Ask, coding: str, size: int) -> None:
    raw = CODINGS[coding](b"x" * 3000 + SECRET.encode() + b"y" * 3000)
    pieces = [raw[place : place + size] for place in range(0, len(raw), size)]
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nTransfer-Encoding: chunked\r\n\r\n" % coding.encode()
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    world.secure.handler = lambda _: [head, *chunks, b"0\r\n\r\n"]
    path = f"/{coding}{size}{ask.__name__}"
    reply = ask(world, asked(world, path))
    assert reply.body == b"x" * 3000 + MARK + b"y" * 3000
    assert reply.header("content-encoding") is None
    assert world.lab.record(path)["redactions"] == 1


def test_the_secret_in_a_coding_with_a_length_and_a_digest(world: World) -> None:
    raw = brotli.compress(gzip.compress(SECRET.encode()))
    fields = (("Content-Encoding", "gzip, br"), ("Content-Digest", "sha-256=:AAAA:"))
    world.secure.handler = lambda _: answer(raw, "200 OK", *fields)
    reply = get(world)
    assert reply.body == MARK
    assert reply.header("content-length") is None
    assert reply.header("content-digest") is None


@pytest.mark.parametrize("spelling", ["deflate without its wrapper", "two gzip members"])
def test_the_secret_in_codings_as_some_servers_write_them(world: World, spelling: str) -> None:
    body = b"before " + SECRET.encode()
    bare = zlib.compressobj(wbits=-15)
    raw, coding = (
        (bare.compress(body) + bare.flush(), "deflate")
        if spelling.startswith("deflate")
        else (gzip.compress(body[:12]) + gzip.compress(body[12:]), "gzip")
    )
    world.secure.handler = lambda _: answer(raw, "200 OK", ("Content-Encoding", coding))
    assert get(world).body == b"before " + MARK


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("harm", ["cut off", "corrupt", "goes on"])
def test_what_cannot_be_decoded_is_broken_off(world: World, coding: str, harm: str) -> None:
    raw = CODINGS[coding](SECRET.encode() * 20)
    raw = {"cut off": raw[:-2], "corrupt": raw[:6] + b"\xff" * 20, "goes on": raw + b"\xff" * 20}[harm]
    world.secure.handler = lambda _: answer(raw, "200 OK", ("Content-Encoding", coding))
    path = f"/{coding}/{harm.replace(' ', '-')}"
    with pytest.raises(EOFError) as broken:
        get(world, path)
    assert SECRET.encode() not in broken.value.args[0]
    assert world.lab.record(path)["code"] == "response_refused"


@pytest.mark.parametrize("coding", [*CODINGS, "gzip, gzip, gzip"])
def test_a_body_that_grows_beyond_reason_is_broken_off(world: World, coding: str) -> None:
    raw = bytes(40_000_000)
    for each in coding.split(", "):
        raw = CODINGS[each](raw)
    world.secure.handler = lambda _: answer(raw, "200 OK", ("Content-Encoding", coding))
    path = f"/bomb/{len(coding)}/{coding[:2]}"
    with pytest.raises(EOFError):
        get(world, path)
    record = world.lab.record(path)
    assert record["code"] == "response_refused"
    assert "grows to more than" in record["reason"]


def test_too_many_codings_are_refused(world: World) -> None:
    fields = (("Content-Encoding", "gzip, gzip"), ("Content-Encoding", "gzip, gzip"))
    world.secure.handler = lambda _: answer(b"", "200 OK", *fields)
    reply = get(world)
    assert (reply.status, reply.json()["error"]) == (502, "response_refused")
    assert "4 times" in reply.json()["reason"]


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_the_secret_in_the_head_of_an_answer_without_body(world: World, status: str) -> None:
    world.secure.handler = lambda _: f'HTTP/1.1 {status}\r\nETag: "{SECRET}"\r\n\r\n'.encode()
    reply = get(world)
    assert reply.header("etag") == f'"{MARK.decode()}"'


def test_the_secret_in_the_answer_to_head(world: World) -> None:
    fields = f"Content-Encoding: gzip\r\nContent-Length: 999\r\nLocation: /{SECRET}"
    world.secure.handler = lambda _: f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode()
    host = f"api.example.test:{world.secure.port}"
    reply = world.lab.request(f"HEAD {world.https}/ HTTP/1.1\nHost: {host}", world.token(world.with_secret))
    assert reply.header("location") == f"/{MARK.decode()}"
    assert reply.header("content-length") is None


def test_the_secret_in_a_cookie_a_redirect_and_a_header_name(world: World) -> None:
    fields = [("Set-Cookie", f"a={SECRET}; Path=/"), ("Set-Cookie", "b=1"), ("Location", f"/?t={SECRET}")]
    world.secure.handler = lambda _: answer(b"", "302 Found", *fields, (SPELLINGS["hexadecimal"](SECRET).decode(), "x"))
    reply = get(world)
    cookies = [value for name, value in reply.headers if name.lower() == "set-cookie"]
    assert cookies == [f"a={MARK.decode()}; Path=/", "b=1"]
    assert reply.header("location") == f"/?t={MARK.decode()}"
    assert SPELLINGS["hexadecimal"](SECRET).decode() not in repr(reply.headers)


def test_the_secret_in_interim_answers_does_not_pass(world: World) -> None:
    world.secure.handler = lambda _: f"HTTP/1.1 103 Early\r\nLink: <{SECRET}>\r\n\r\n".encode() + answer(b"ok")
    reply = get(world)
    assert (reply.status, reply.body) == (200, b"ok")
    assert SECRET not in repr(reply.headers)


def test_a_part_is_not_asked_for_and_not_taken(world: World) -> None:
    """A secret in two halves would be found in neither."""
    world.secure.handler = lambda _: answer(
        SECRET[:5].encode(), "206 Partial Content", ("Content-Range", "bytes 0-4/9")
    )
    reply = get(world, "/", "Range: bytes=0-4", "If-Range: x")
    assert (reply.status, reply.json()["error"]) == (502, "response_refused")
    assert not {"range", "if-range"} & set(world.secure.received[0].names())


def test_a_rule_without_a_credential_is_searched_where_its_neighbour_adds_one(world: World) -> None:
    rules = rule_set(
        rule(
            name="with", ports=[world.secure.port], schemes=["https"], inject={"secret": "ledger-token", "as": "bearer"}
        ),
        rule(name="without", ports=[world.plain.port]),
    )
    token = world.load(rules)
    world.plain.handler = lambda _: answer(gzip.compress(SECRET.encode()), "200 OK", ("Content-Encoding", "gzip"))
    assert world.lab.get(f"{world.http}/", token).body == MARK


def test_heads_are_searched_for_every_known_secret_whatever_the_rules(world: World) -> None:
    world.plain.handler = lambda _: answer(SECRET.encode(), "200 OK", ("X-Echo", SECRET))
    reply = world.lab.get(f"{world.http}/", world.token())
    assert reply.header("x-echo") == MARK.decode()
    assert reply.body == SECRET.encode(), "bodies are searched only where the rules could add a secret"


def test_a_secret_that_was_replaced_is_still_taken_out(tmp_path: Path) -> None:
    """The upstream may still take the former value, and may still give it back."""
    file = tmp_path / "secret"
    file.write_text("the-former-value")
    origin = Origin(lambda _: answer(b"the-former-value and the-present-value"))
    rules = rule_set(rule(ports=[origin.port], inject={"secret": "s", "as": "bearer"}))
    hosts = {"api.example.test": "127.0.0.1"}
    lab = start(tmp_path / "state", rules, hosts=hosts, secrets={"s": {"file": str(file)}})
    url = f"http://api.example.test:{origin.port}/"
    lab.get(url, lab.token(rules))
    file.write_text("the-present-value")
    assert lab.get(url, lab.token(rules)).body == b"[redacted:s] and [redacted:s]"
    lab.stop()
    origin.close()


def test_over_http2_in_a_body_a_header_and_a_trailer(world: World, authority) -> None:
    def echo(_: object) -> tuple[list[tuple[str, str]], list[bytes], list[tuple[str, str]]]:
        halves = [SECRET[:9].encode(), SECRET[9:].encode()]
        return [(":status", "200"), ("x-echo", SECRET)], [b"before ", *halves, b" after"], [("x-end", SECRET)]

    origin = Http2Origin(echo, authority.server("api.example.test"))
    rules = rule_set(rule(ports=[origin.port], inject={"secret": "ledger-token", "as": "bearer"}))
    reply = http2.request(world.lab, f"api.example.test:{origin.port}", world.load(rules))
    origin.close()
    assert reply.status == 200
    assert reply.body == b"before " + MARK + b" after"
    assert reply.header("x-echo") == MARK.decode()
    assert reply.trailers == [("x-end", MARK.decode())]


def test_over_http2_a_coding_that_is_cut_off_resets_the_stream_only(world: World, authority) -> None:
    def cut(path: str) -> tuple[list[tuple[str, str]], list[bytes], list[tuple[str, str]]]:
        raw = gzip.compress(SECRET.encode() * 9)
        whole = [raw] if path == "/whole" else [raw[:-3]]
        return [(":status", "200"), ("content-encoding", "gzip")], whole, []

    origin = Http2Origin(cut, authority.server("api.example.test"))
    rules = rule_set(rule(ports=[origin.port], inject={"secret": "ledger-token", "as": "bearer"}))
    token = world.load(rules)
    reply = http2.request(world.lab, f"api.example.test:{origin.port}", token, path="/cut")
    assert reply.reset
    assert SECRET.encode() not in reply.body
    assert http2.request(world.lab, f"api.example.test:{origin.port}", token, path="/whole").body == MARK * 9
    origin.close()


def test_nothing_of_it_in_logs_events_metrics_and_answers(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever an upstream does with the secret, what the proxy writes anywhere does not hold it."""
    spelled = [spelling(SECRET) for spelling in SPELLINGS.values()]
    wild = [
        *(b"HTTP/1.1 200 %s\r\nContent-Length: 0\r\n\r\n" % text for text in spelled if b"\n" not in text),
        *(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % text for text in spelled),
        *(text + b"\r\n\r\n" for text in spelled),
        *(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n" % text for text in spelled),
        *(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(t), t) for t in spelled),
        *(b"HTTP/1.1 200 OK\r\nContent-Encoding: %s\r\nContent-Length: 1\r\n\r\nx" % text for text in spelled),
        *(b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % text for text in spelled),
    ]
    replies = iter(wild)
    origin = Origin(lambda _: next(replies) + b"")
    rules = rule_set(rule(ports=[origin.port], inject={"secret": "s", "as": "bearer"}))
    hosts = {"api.example.test": "127.0.0.1"}
    lab = start(tmp_path, rules, hosts=hosts, secrets={"s": {"env": "S"}}, env={"S": SECRET})
    seen = bytearray()
    for _ in wild:
        wire = lab.wire()
        url = f"http://api.example.test:{origin.port}/"
        head = f"GET {url} HTTP/1.1\nHost: api.example.test:{origin.port}\nConnection: close"
        wire.send(
            head.replace("\n", "\r\n").encode() + f"\r\nProxy-Authorization: Bearer {lab.token(rules)}\r\n\r\n".encode()
        )
        while part := wire.socket.recv(65536):
            seen += part
    lab.records(len(wild))
    lab.stop()
    origin.close()
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    captured = capfd.readouterr()
    for text in (*spelled, json.dumps(SECRET)[1:-1].encode()):
        assert text not in bytes(seen)
        assert text not in written
        assert text.decode("latin-1") not in captured.err + captured.out
    assert len(list(itertools.islice(replies, 1))) == 0, "every one of them was asked for"
