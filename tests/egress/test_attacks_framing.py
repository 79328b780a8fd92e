"""ATTACKS, "At the egress proxy", against the live proxy: paths and framing with two readings."""

from collections.abc import Callable

import pytest

from tests.egress import http2
from tests.egress.asking import EVERY_WAY, TO_HTTPS, Ask, Asked, port_of, refused
from tests.egress.lab import SECRET, Wire, World, render, rule, rule_set
from tests.egress.origin import answer

type Opened = Callable[[World], tuple[Wire, str]]


@pytest.mark.parametrize(
    "path",
    [
        "/open/../secret",
        "/open/%2e%2e/secret",
        "/open/%2E./secret",
        "/open/..;/secret",
        "/open/..%2fsecret",
        "/open/%5c..%5csecret",
        "/open//secret",
        "//secret",
        "/open/%2fsecret",
        "/open/%00",
        "/open/x%00.json",
        "/open/%252e%252e/secret",
        "/open/%25%32%65",
        "/open/./x",
        "/open/;x",
        "/open\\..\\secret",
        "/open/%zz",
        "/open/%0d%0aX-Injected:1",
        "/open/ü",
    ],
)
@EVERY_WAY
def test_paths_that_normalise_in_two_ways(world: World, ask: Ask, path: str) -> None:
    port = port_of(world, ask)
    token = world.load(rule_set(rule(paths=["/open/**"], ports=[port])))
    code = refused(world, ask, Asked(host="api.example.test", port=port, token=token, path=path))
    assert code in {"malformed", "path", ""}


@EVERY_WAY
def test_paths_are_sent_as_they_were_decided_on(world: World, ask: Ask) -> None:
    port = port_of(world, ask)
    token = world.load(rule_set(rule(paths=["/~a/b c/**".replace(" ", "%20")], ports=[port])))
    asked = Asked(host="api.example.test", port=port, token=token, path="/%7ea/%62%20c/%e2%82%ac")
    assert ask(world, asked).json()["line"] == "GET /~a/b%20c/%E2%82%AC HTTP/1.1"


def to_the_proxy(world: World) -> tuple[Wire, str]:
    """A connection and the first line of a request on it, with the token."""
    host = f"Host: api.example.test:{world.plain.port}\r\nProxy-Authorization: Bearer {world.token()}\r\n"
    return world.lab.wire(), f"POST {world.http}/ HTTP/1.1\r\n{host}"


def in_a_tunnel(world: World) -> tuple[Wire, str]:
    wire = world.lab.tunnel(f"api.example.test:{world.secure.port}", world.token())
    head = f"POST / HTTP/1.1\r\nHost: api.example.test:{world.secure.port}\r\n"
    return world.lab.secure(wire, "api.example.test"), head


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="CL with TE"),
        pytest.param(b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", id="two CLs"),
        pytest.param(b"Content-Length: 3, 3\r\n\r\nabc", id="CL list"),
        pytest.param(b"Content-Length: +3\r\n\r\nabc", id="CL with a sign"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="unknown TE"),
        pytest.param(b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="space before colon"),
        pytest.param(b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n", id="obs-fold"),
        pytest.param(b"X: a\nY: b\r\nContent-Length: 0\r\n\r\n", id="bare LF"),
        pytest.param(b"X: a\rY: b\r\nContent-Length: 0\r\n\r\n", id="bare CR"),
        pytest.param(b"X: a\x00b\r\nContent-Length: 0\r\n\r\n", id="NUL in a header"),
        pytest.param(b"Content-Length: 0\n\n", id="LF LF"),
    ],
)
@pytest.mark.parametrize("opened", [to_the_proxy, in_a_tunnel])
def test_framing_that_can_be_read_in_two_ways(world: World, opened: Opened, raw: bytes) -> None:
    wire, head = opened(world)
    wire.send(head.encode() + raw)
    assert wire.reply().status == 400
    assert (world.plain.received, world.secure.received) == ([], [])


TWO_READINGS = [
    [("content-length", "3"), ("content-length", "4")], [("content-length", "4")], [("content-length", "-1")],
    [("transfer-encoding", "chunked")], [("connection", "close")], [("te", "gzip")], [("upgrade", "h2c")],
    [("x-a", "b\r\nx-injected: 1")], [("x-a", "b\nc")], [("x-a", "b\x00")], [("x a", "b")], [("x:a", "b")],
    [("X-Upper", "b")], [(":path", "/other")], [("x-b", "c"), (":method", "GET")],
]  # fmt: skip


@pytest.mark.parametrize("fields", TWO_READINGS, ids=str)
def test_framing_over_http2_that_http1_would_read_otherwise(world: World, fields: list[tuple[str, str]]) -> None:
    """RFC 9113 section 8.2: what has no meaning in HTTP/2, or another one in HTTP/1, is malformed."""
    authority = f"api.example.test:{world.secure.port}"
    inner = world.lab.secure(world.lab.tunnel(authority, world.token()), "api.example.test", ["h2"])
    reply = http2.exchange(inner, authority, method="POST", headers=fields, body=b"abc")
    assert reply.status in {0, 400}
    assert all(request.body == b"abc" or not request.body for request in world.secure.received)
    assert [request.line for request in world.secure.received if "x-injected" in request.names()] == []


@pytest.mark.parametrize("opened", [to_the_proxy, in_a_tunnel])
def test_framing_oversized_head(world: World, opened: Opened) -> None:
    wire, head = opened(world)
    wire.send(head.encode() + b"X: " + b"a" * 70_000)
    assert wire.reply().status == 431


def test_framing_oversized_head_over_http2(world: World) -> None:
    authority = f"api.example.test:{world.secure.port}"
    fields = [(f"x-{number}", "a" * 8_000) for number in range(16)]
    assert http2.request(world.lab, authority, world.token(), headers=fields).status in {0, 400, 431}
    assert world.secure.received == []


@EVERY_WAY
def test_a_path_longer_than_the_bound(world: World, ask: Ask) -> None:
    asked = Asked(host="api.example.test", port=port_of(world, ask), token=world.token(), path="/" + "a" * 17_000)
    assert ask(world, asked).status in {0, 400, 414}
    assert (world.plain.received, world.secure.received) == ([], [])


@TO_HTTPS
def test_a_body_of_any_size_is_searched(world: World, ask: Ask) -> None:
    """What comes back large comes back without the secret: there is no size beyond which nobody looks."""
    world.secure.handler = lambda _: answer(b"x" * 3_000_001 + SECRET.encode() + b"y" * 1_000_000)
    asked = Asked(host="api.example.test", port=world.secure.port, token=world.token(world.with_secret))
    reply = ask(world, asked)
    assert len(reply.body) > 4_000_000
    assert SECRET.encode() not in reply.body
    assert b"x[redacted:ledger-token]y" in reply.body


def test_framing_oversized_refused_body_is_not_kept(world: World) -> None:
    wire = world.lab.wire()
    wire.send(
        render("POST http://no.example.test/ HTTP/1.1\nHost: no.example.test\nContent-Length: 999999999", world.token())
    )
    sent = 0
    try:
        while sent < 64 << 20:
            sent += wire.socket.send(b"x" * 65536)
    except ConnectionError:
        pass
    assert sent < 64 << 20


def test_framing_a_smuggled_second_request_is_decided_by_itself(world: World) -> None:
    wire = world.lab.wire()
    host = f"Host: api.example.test:{world.plain.port}"
    wire.send(
        render(f"POST {world.http}/ HTTP/1.1\n{host}\nContent-Length: 0", world.token())
        + render(f"GET http://evil.test/ HTTP/1.1\nHost: evil.test\nProxy-Authorization: Bearer {world.token()}")
    )
    assert wire.reply().status == 200
    assert wire.reply().status == 403


def test_framing_an_http2_body_without_a_length_is_no_second_request_upstream(world: World) -> None:
    """HTTP/2 ends a body by a flag. Written to an HTTP/1 upstream without framing, this one would be a request."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: api.example.test\r\n\r\n"
    authority = f"api.example.test:{world.secure.port}"
    reply = http2.request(world.lab, authority, world.token(), method="POST", path="/outer", body=smuggled)
    assert reply.status == 200
    assert [request.line for request in world.secure.received] == ["POST /outer HTTP/1.1"]
    assert world.secure.received[0].body == smuggled
