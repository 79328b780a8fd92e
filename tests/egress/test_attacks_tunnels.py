"""ATTACKS, "At the egress proxy", against the live proxy: what is no HTTP in a tunnel."""

import contextlib
from pathlib import Path

import pytest

from tests.egress.lab import World, rule, rule_set, start
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
