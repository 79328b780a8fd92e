"""ATTACKS, "At the egress proxy", against the live proxy: tokens, reloads, restarts, slowness."""

import base64
import contextlib
import threading
from pathlib import Path

import pytest

from tests.egress.lab import World, render, rule, rule_set, start
from tests.egress.origin import Received


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x16\x03\x01\x00\x05hello", id="half a ClientHello"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: ", id="half a head"),
        pytest.param(b"G", id="a letter"),
    ],
)
def test_slow_loris_in_a_tunnel(tmp_path: Path, raw: bytes) -> None:
    rules = rule_set(rule(ports=[443]))
    lab = start(tmp_path, rules, hosts={"api.example.test": "127.0.0.1"}, head_timeout_s=0.2)
    wire = lab.tunnel("api.example.test:443", lab.token(rules))
    wire.send(raw)
    with contextlib.suppress(EOFError, ConnectionError):
        assert wire.reply().status == 408
    lab.stop()


def test_slow_loris_at_the_proxy(tmp_path: Path) -> None:
    lab = start(tmp_path, head_timeout_s=0.2)
    wire = lab.wire()
    wire.send(b"GET http://api.example.test/ HTTP/1.1\r\nHost:")
    assert wire.reply().status == 408
    assert wire.eof()
    lab.stop()


def test_tokens_that_do_not_hold(world: World) -> None:
    lab = world.lab
    expired = lab.token(world.open, expires_in=-1)
    other_key = lab.token(world.open, key=b"x" * 32)
    unknown_rules = lab.token(rule_set(rule(name="not-loaded")))
    good = lab.token(world.open)
    payload, _, signature = good.partition(".")
    broken = f"{payload}.{signature[:-2]}AA"
    for token in (expired, other_key, unknown_rules, broken, payload, "", "x.y", "é"):
        reply = lab.get(f"{world.http}/", token)
        assert reply.status in {403, 407}, token
        assert reply.json()["code"] == "token"
    assert world.plain.received == []


def test_two_tokens(world: World) -> None:
    reply = world.lab.get(f"{world.http}/", world.token(), f"Proxy-Authorization: Bearer {world.token()}")
    assert reply.status == 407


def test_identity_is_checked_on_every_request(world: World) -> None:
    wire = world.lab.wire()
    head = f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}"
    wire.send(render(head, world.token()))
    assert wire.reply().status == 200
    wire.send(render(head))
    assert wire.reply().status == 407


def test_a_token_that_expires_while_its_tunnel_is_open(world: World) -> None:
    """Nothing moves in it: a timer closes it, not the next request."""
    token = world.lab.token(world.open, expires_in=2, execution="expires-1")
    inner = world.lab.secure(world.lab.tunnel(f"api.example.test:{world.secure.port}", token), "api.example.test")
    inner.send(render(f"GET /expiring HTTP/1.1\nHost: api.example.test:{world.secure.port}"))
    assert inner.reply().status == 200
    assert inner.eof()
    assert world.lab.get(f"{world.http}/", token).status == 407
    closed = world.lab.event(lambda event: event["execution"] == "expires-1" and event["code"] == "expired")
    assert (closed["method"], closed["allowed"]) == ("CONNECT", True)


def test_a_token_that_expires_while_its_answer_streams(world: World) -> None:
    def endless(_: Received):
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        yield b"5\r\nhello\r\n"
        over.wait(20)

    over = threading.Event()
    world.plain.handler = endless
    wire = world.lab.wire()
    head = f"GET {world.http}/endless HTTP/1.1\nHost: api.example.test:{world.plain.port}"
    wire.send(render(head, world.lab.token(world.open, expires_in=2)))
    with pytest.raises((ConnectionError, EOFError)):
        wire.reply()
    over.set()
    assert world.lab.record("/endless")["code"] == "expired"


def test_a_revoked_execution_loses_its_tunnel_at_once(world: World) -> None:
    token = world.lab.token(world.open, execution="revoked-1")
    wire = world.lab.tunnel(f"api.example.test:{world.secure.port}", token)
    inner = world.lab.secure(wire, "api.example.test")
    assert world.lab.command(revoke=["revoked-1"]) == {"done": True}
    assert inner.eof()
    assert world.lab.get(f"{world.http}/", token).status == 407


def test_a_revoked_execution_loses_a_response_under_way(world: World) -> None:
    token = world.lab.token(world.open, execution="revoked-2")

    def endless(_: Received):
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while True:
            yield b"5\r\nhello\r\n"

    world.plain.handler = endless
    wire = world.lab.wire()
    wire.send(render(f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}", token))
    assert wire.socket.recv(10)
    world.lab.command(revoke=["revoked-2"])
    with pytest.raises((ConnectionError, EOFError)):
        while wire.socket.recv(1 << 20):
            pass
        raise EOFError


def test_the_token_of_basic_clients(world: World) -> None:
    encoded = base64.b64encode(f"lockgate:{world.token()}".encode()).decode()
    head = (
        f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}\nProxy-Authorization: Basic {encoded}"
    )
    assert world.lab.request(head).status == 200


def test_an_upstream_that_breaks_off(world: World) -> None:
    world.plain.handler = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nshort"
    wire = world.lab.wire()
    wire.send(render(f"GET {world.http}/ HTTP/1.1\nHost: api.example.test:{world.plain.port}", world.token()))
    with pytest.raises((EOFError, ConnectionError)):
        wire.reply()


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nBad Header: x\r\nContent-Length: 0\r\n\r\n"])
def test_an_upstream_that_speaks_no_http(world: World, raw: bytes) -> None:
    world.plain.handler = lambda _: raw
    reply = world.lab.get(f"{world.http}/", world.token())
    assert (reply.status, reply.json()["error"]) == (502, "upstream_error")
    assert b"nonsense" not in reply.body


def test_the_proxy_serves_on_after_all_this(world: World) -> None:
    assert world.lab.get(f"{world.https}/", world.token()).status == 200
