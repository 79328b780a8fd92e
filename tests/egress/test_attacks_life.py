"""ATTACKS, "At the egress proxy", against the live proxy: tokens, reloads, restarts, slowness."""

import base64
import contextlib
import json
import resource
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.egress.asking import EVERY_WAY, Ask, Asked, in_a_tunnel, over_http2, port_of, securely
from tests.egress.lab import World, render, rule, rule_set, start
from tests.egress.origin import Origin, Received, answer


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


@EVERY_WAY
def test_tokens_that_do_not_hold(world: World, ask: Ask) -> None:
    lab = world.lab
    expired = lab.token(world.open, expires_in=-1)
    other_key = lab.token(world.open, key=b"x" * 32)
    unknown_rules = lab.token(rule_set(rule(name="not-loaded")))
    good = lab.token(world.open)
    payload, _, signature = good.partition(".")
    broken = f"{payload}.{signature[:-2]}AA"
    for token in (expired, other_key, unknown_rules, broken, payload, "", "x.y", "é"):
        reply = ask(world, Asked(host="api.example.test", port=port_of(world, ask), token=token))
        assert reply.status in {403, 407}, token
        assert reply.json()["code"] == "token"
    assert (world.plain.received, world.secure.received) == ([], [])


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


def dribbling_head(over: threading.Event) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nX-A: "
    while not over.wait(0.01):
        yield b"a"


def dribbling_body(over: threading.Event) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    while not over.wait(0.01):
        yield b"1\r\na\r\n"


def silent(over: threading.Event) -> Iterator[bytes]:
    over.wait(20)
    yield b""


@pytest.mark.parametrize("slow", [dribbling_head, dribbling_body, silent])
@pytest.mark.parametrize("ask", [securely, in_a_tunnel, over_http2])
def test_a_slow_origin_is_waited_for_as_long_as_the_token_lives(world: World, slow: Any, ask: Ask) -> None:
    over = threading.Event()
    world.secure.handler = lambda _: slow(over)
    token = world.lab.token(world.open, expires_in=1.2)
    asked = Asked(host="api.example.test", port=world.secure.port, token=token, path=f"/{slow.__name__}")
    try:
        assert ask(world, asked).status in {0, 200}
    finally:
        over.set()
    assert world.lab.record(f"/{slow.__name__}")["code"] == "expired"


def test_a_slow_sender_is_waited_for_as_long_as_its_token_lives(world: World) -> None:
    wire = world.lab.wire()
    head = f"POST {world.http}/slow HTTP/1.1\nHost: api.example.test:{world.plain.port}\nContent-Length: 1000000"
    wire.send(render(head, world.lab.token(world.open, expires_in=1.2)))
    wire.socket.settimeout(0.01)
    with pytest.raises((ConnectionError, EOFError)):
        for _ in range(2_000):
            wire.send(b"x")
            with contextlib.suppress(TimeoutError):
                if not wire.socket.recv(1 << 16):
                    raise EOFError
    assert all(len(request.body) < 1_000_000 for request in world.plain.received)
    assert world.lab.record("/slow")["code"] == "expired"


@pytest.mark.parametrize("ask", [securely, in_a_tunnel, over_http2])
def test_a_revoked_execution_loses_what_is_under_way_by_every_way(world: World, ask: Ask) -> None:
    begun, over = threading.Event(), threading.Event()

    def endless(_: Received) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        begun.set()
        over.wait(20)

    world.secure.handler = endless
    execution = f"revoked-{ask.__name__}"
    token = world.lab.token(world.open, execution=execution)
    asked = Asked(host="api.example.test", port=world.secure.port, token=token, path=f"/{execution}")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, world, asked)
        assert begun.wait(15)
        assert world.lab.command(revoke=[execution]) == {"done": True}
        assert waiting.result(15).status in {0, 200}
    over.set()
    assert world.lab.record(f"/{execution}")["code"] == "revoked"
    assert world.lab.get(f"{world.http}/", token).status == 407


@pytest.mark.parametrize(
    "wrong", [b"{", b"[]", b'{"rule_sets": {"sha256:00": {"rules": []}}}', b'{"generation": {"number": 1}}']
)
def test_a_broken_policy_changes_nothing(world: World, wrong: bytes) -> None:
    world.lab.process.stdin.write(wrong + b"\n")
    world.lab.process.stdin.flush()
    assert json.loads(world.lab.process.stdout.readline())["done"] is False
    assert world.lab.get(f"{world.http}/", world.token()).status == 200
    assert world.lab.get("http://elsewhere.example.test/", world.token()).status == 403


def test_a_proxy_killed_in_the_middle_of_an_answer_leaves_half_of_it_and_serves_again(tmp_path: Path) -> None:
    """The client can tell that it is half, nothing is sent twice, and the record goes on where it was."""
    over = threading.Event()

    def halting(request: Received) -> Any:
        if request.line != "GET /half HTTP/1.1":
            return answer(b"whole")
        return iter([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", *silent(over)])

    origin = Origin(halting)
    rules = rule_set(rule(ports=[origin.port]))
    hosts = {"api.example.test": "127.0.0.1"}
    url = f"http://api.example.test:{origin.port}"
    first = start(tmp_path, rules, hosts=hosts)
    port = first.port
    assert first.get(f"{url}/before", first.token(rules)).status == 200
    first.records(1)
    wire = first.wire()
    over.set()
    wire.send(render(f"GET {url}/half HTTP/1.1\nHost: api.example.test:{origin.port}", first.token(rules)))
    assert wire.socket.recv(1 << 16)
    first.process.kill()
    with pytest.raises((EOFError, ConnectionError)):
        while wire.socket.recv(1 << 16):
            pass
        raise EOFError
    first.close()
    first.process.wait(10)
    second = start(tmp_path, rules, hosts=hosts, listen_port=port)
    assert second.get(f"{url}/after", second.token(rules)).body == b"whole"
    assert [request.line.split()[1] for request in origin.received] == ["/before", "/half", "/after"]
    assert {"/before", "/after"} <= {record["path"] for record in second.records(2)}
    first.stop()
    second.stop()
    origin.close()


def test_a_crash_leaves_no_core_to_read(world: World) -> None:
    assert resource.prlimit(world.lab.process.pid, resource.RLIMIT_CORE) == (0, 0)
