"""ATTACKS, "At the egress proxy", against the live proxy: what is no HTTP in a tunnel."""

import contextlib
from pathlib import Path

import pytest

from tests.egress import http2
from tests.egress.asking import TO_HTTPS, Ask, Asked, in_a_plain_tunnel, in_a_tunnel, plainly, port_of, securely
from tests.egress.lab import World, render, rule, rule_set, start
from tests.egress.origin import answer


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"SSH-2.0-OpenSSH_9.9\r\n", id="ssh"),
        pytest.param(b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03foo\x00\x00\x01\x00\x01", id="dns"),
        pytest.param(b"\x00\x01\x02\x03 raw bytes\n\n", id="raw"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="h2c prior knowledge"),
        pytest.param(b"EHLO mail.example.test\r\n", id="smtp"),
    ],
)
def test_tunnels_carry_http_only(world: World, raw: bytes) -> None:
    before = world.plain.connections
    wire = world.lab.tunnel(f"api.example.test:{world.plain.port}", world.token())
    wire.send(raw)
    with contextlib.suppress(EOFError, ConnectionError):
        assert wire.reply().status == 400
    assert world.plain.connections == before


def test_tunnels_to_port_53_are_no_dns(tmp_path: Path) -> None:
    rules = rule_set(rule(ports=[53]))
    lab = start(tmp_path, rules, hosts={"api.example.test": "127.0.0.1"})
    wire = lab.tunnel("api.example.test:53", lab.token(rules))
    wire.send(b"\x00\x1d\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03foo\x00\x00\x01\x00\x01")
    assert wire.reply().status == 400
    lab.stop()


def test_tunnels_h2c_upgrade_is_not_forwarded(world: World) -> None:
    world.lab.get(
        f"{world.http}/",
        world.token(),
        "Connection: Upgrade, HTTP2-Settings",
        "Upgrade: h2c",
        "HTTP2-Settings: AAMAAABk",
    )
    assert not {"upgrade", "http2-settings", "connection"} & set(world.plain.received[0].names())


def test_tunnels_websocket_upgrade_is_not_forwarded(world: World) -> None:
    world.lab.get(
        f"{world.http}/", world.token(), "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    )  # fmt: skip
    assert "upgrade" not in world.plain.received[0].names()


def test_tunnels_unsolicited_101(world: World) -> None:
    world.plain.handler = lambda _: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\nraw bytes"
    reply = world.lab.get(f"{world.http}/", world.token())
    assert (reply.status, reply.json()["error"]) == (502, "response_refused")


def test_interim_responses_are_passed_over(world: World) -> None:
    world.plain.handler = lambda _: [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", answer(b"final")]
    reply = world.lab.get(f"{world.http}/", world.token())
    assert (reply.status, reply.body) == (200, b"final")


UPGRADE = [
    ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="), ("Sec-WebSocket-Extensions", "permessage-deflate"),
]  # fmt: skip
# A frame whose four bytes of deflate would become a megabyte.
BOMB = b"\xc1\x84\0\0\0\0\x00\x00\xff\xff"


@pytest.mark.parametrize("ask", [plainly, securely, in_a_plain_tunnel, in_a_tunnel])
def test_tunnels_a_websocket_that_its_origin_agrees_to_is_refused(world: World, ask: Ask) -> None:
    """So there are no frames to look into."""
    switching = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + BOMB
    world.plain.handler = world.secure.handler = lambda _: switching
    asked = Asked(host="api.example.test", port=port_of(world, ask), token=world.token(), headers=UPGRADE)
    reply = ask(world, asked)
    assert (reply.status, reply.json()["error"]) == (502, "response_refused")
    assert BOMB not in reply.body
    (request,) = world.plain.received + world.secure.received
    assert not {"upgrade", "connection"} & set(request.names())


@TO_HTTPS
def test_tunnels_an_unsolicited_101(world: World, ask: Ask) -> None:
    world.secure.handler = lambda _: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\nraw bytes"
    reply = ask(world, Asked(host="api.example.test", port=world.secure.port, token=world.token()))
    assert (reply.status, reply.json()["error"]) == (502, "response_refused")
    assert b"raw bytes" not in reply.body


@pytest.mark.parametrize(
    "raw", [b"SSH-2.0-x\r\n", b"\x00\x1d\x12\x34\x01\x00\x00\x01", b"\x16\x03\x01\x02\x00\x01", BOMB]
)
def test_tunnels_carry_http_only_inside_tls_too(world: World, raw: bytes) -> None:
    """DNS over TLS, TLS in TLS and the like."""
    before = world.secure.connections
    wire = world.lab.tunnel(f"api.example.test:{world.secure.port}", world.token())
    inner = world.lab.secure(wire, "api.example.test")
    inner.send(raw + b"\r\n\r\n")
    with contextlib.suppress(EOFError, ConnectionError):
        assert inner.reply().status == 400
    assert world.secure.connections == before


def test_tunnels_a_tunnel_in_a_tunnel(world: World) -> None:
    own = f"api.example.test:{world.secure.port}"
    for inner in (
        world.lab.tunnel(f"api.example.test:{world.plain.port}", world.token()),
        world.lab.secure(world.lab.tunnel(own, world.token()), "api.example.test"),
    ):
        inner.send(render(f"CONNECT {own} HTTP/1.1\nHost: {own}", world.token()))
        assert inner.reply().status in {400, 403, 405, 501}
    assert (world.plain.received, world.secure.received) == ([], [])


WEBSOCKET = [(":protocol", "websocket"), (":scheme", "https"), (":path", "/"), (":authority", "{own}")]


@pytest.mark.parametrize(
    "pseudo",
    [
        [(":method", "CONNECT"), (":authority", "{own}")],
        [
            (":method", "CONNECT"),
            (":protocol", "websocket"),
            (":scheme", "https"),
            (":path", "/"),
            (":authority", "{own}"),
        ],
        [(":method", "GET"), (":protocol", "websocket"), (":scheme", "https"), (":path", "/"), (":authority", "{own}")],
    ],
    ids=["CONNECT", "extended CONNECT", "a protocol without CONNECT"],
)
def test_tunnels_connect_over_http2(world: World, pseudo: list[tuple[str, str]]) -> None:
    own = f"api.example.test:{world.secure.port}"
    inner = world.lab.secure(world.lab.tunnel(own, world.token()), "api.example.test", ["h2"])
    reply = http2.exchange(inner, own, pseudo=[(name, value.format(own=own)) for name, value in pseudo], body=BOMB)
    assert reply.status in {0, 400, 403, 405, 501}
    assert world.secure.received == []


def test_tunnels_http3_is_not_offered(world: World) -> None:
    world.secure.handler = lambda _: answer(b"ok", "200 OK", ("Alt-Svc", 'h3=":443"; ma=86400'))
    reply = world.lab.get(f"{world.https}/", world.token())
    assert (reply.status, reply.header("alt-svc")) == (200, None)
