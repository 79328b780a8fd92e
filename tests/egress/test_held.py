"""Requests that are held until their body is whole: through the live proxy, over HTTP/1 and HTTP/2."""

import gzip
import json
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from egress.admission import Admission, BodyWanted
from egress.body_coding import decode_body
from egress.outgoing import BodyStep, Outgoing, run_steps
from egress.request import Denial
from sandboxes.authority import Authority
from tests.egress import http2
from tests.egress.conftest import echo
from tests.egress.in_process import InProcess, everything
from tests.egress.lab import Reply, render, rule, rule_set
from tests.egress.origin import Origin

LIMIT = 1000


@pytest.fixture(scope="module")
def origin(authority) -> Iterator[Origin]:
    made = Origin(echo, authority.server("api.example.test"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, authority, origin: Origin) -> Iterator[InProcess]:
    rules = rule_set(rule(ports=[origin.port]))
    made = InProcess(
        tmp_path_factory.mktemp("state"),
        rules,
        extra_ca_file=str(authority.file),
    )
    made.token = made.lab().token(rules)
    made.authority = f"api.example.test:{origin.port}"
    yield made
    assert made.proxy.gate._memory.used == 0
    made.close()


@pytest.fixture(autouse=True)
def nothing_received(origin: Origin) -> None:
    origin.received.clear()


@contextmanager
def steps(proxy: InProcess, *given: BodyStep, limit: int = LIMIT) -> Iterator[None]:
    """Every admission carries these steps."""
    admitter = proxy.proxy.admitter
    admit = admitter.admit

    def with_steps(*asked: Any, **body: Any) -> Admission | BodyWanted | Denial:
        admitted = admit(*asked, **body)
        return admitted if not isinstance(admitted, Admission) else replace(admitted, steps=given, body_limit=limit)

    admitter.admit = with_steps  # type: ignore[method-assign]
    try:
        yield
    finally:
        admitter.admit = admit  # type: ignore[method-assign]


def upper(outgoing: Outgoing) -> Outgoing:
    return replace(outgoing, body=outgoing.body.upper() + b"!")


def same(outgoing: Outgoing) -> Outgoing:
    return outgoing


def refuse(_: Outgoing) -> Denial:
    return Denial(code="test", reason="the body says no")


def over_http1(proxy: InProcess, body: bytes, *headers: str) -> Reply:
    """Absolute form, Content-Length."""
    return _http1(proxy, render(_head(proxy, f"Content-Length: {len(body)}", *headers), proxy.token) + body)


def chunked(proxy: InProcess, body: bytes, *headers: str) -> Reply:
    """Absolute form, in chunks of seven bytes."""
    parts = [body[start : start + 7] for start in range(0, len(body), 7)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return _http1(proxy, render(_head(proxy, "Transfer-Encoding: chunked", *headers), proxy.token) + framed)


def over_http2(proxy: InProcess, body: bytes, *headers: str) -> Reply:
    """In a tunnel."""
    fields = [(name.lower(), value.strip()) for name, _, value in (header.partition(":") for header in headers)]
    return http2.request(proxy.lab(), proxy.authority, proxy.token, method="POST", path="/a", headers=fields, body=body)


def _head(proxy: InProcess, *headers: str) -> str:
    return "\n".join([f"POST https://{proxy.authority}/a HTTP/1.1", f"Host: {proxy.authority}", *headers])


def _http1(proxy: InProcess, data: bytes) -> Reply:
    wire = proxy.lab().wire()
    wire.send(data)
    try:
        return wire.reply()
    finally:
        wire.close()


Ask = Callable[..., Reply]
WAYS = pytest.mark.parametrize("ask", [over_http1, chunked, over_http2])


@WAYS
def test_steps_change_the_body_and_its_length(proxy: InProcess, origin: Origin, ask: Ask) -> None:
    with steps(proxy, upper, upper):
        reply = ask(proxy, b"hello")
    assert reply.status == 200
    assert reply.json()["body"] == "HELLO!!"
    (received,) = origin.received
    assert received.names().count("content-length") == 1
    assert (received.header("content-length"), received.header("transfer-encoding")) == ("7", None)


@WAYS
def test_steps_change_headers_path_and_query_when_the_body_is_known(proxy: InProcess, ask: Ask) -> None:
    def sign(outgoing: Outgoing) -> Outgoing:
        signed = (*outgoing.headers, (b"x-body-length", str(len(outgoing.body)).encode()))
        return replace(outgoing, path="/signed", query="v=1", headers=signed)

    with steps(proxy, sign):
        seen = ask(proxy, b"hello").json()
    assert seen["line"] == "POST /signed?v=1 HTTP/1.1"
    assert {name.lower(): value for name, value in seen["headers"]}["x-body-length"] == "5"
    assert seen["body"] == "hello"


@WAYS
def test_a_step_that_refuses_gives_the_structured_answer_and_nothing_leaves(
    proxy: InProcess, origin: Origin, ask: Ask
) -> None:
    before = origin.connections
    with steps(proxy, same, refuse, upper):
        reply = ask(proxy, b"hello")
    assert (reply.status, reply.json()["code"], reply.json()["reason"]) == (403, "test", "the body says no")
    assert reply.note()["allowed"] is False
    assert origin.received == []
    assert origin.connections == before


@WAYS
@pytest.mark.parametrize("error", [RuntimeError("x"), KeyError("x"), RecursionError(), MemoryError()])
def test_a_step_that_raises_denies(proxy: InProcess, origin: Origin, ask: Ask, error: Exception) -> None:
    def broken(_: Outgoing) -> Outgoing:
        raise error

    before = proxy.manager.faults["request"]
    with steps(proxy, broken):
        reply = ask(proxy, b"hello")
    assert (reply.status, reply.json()["code"]) == (403, "closed")
    assert origin.received == []
    assert proxy.manager.faults["request"] == before + 1


@WAYS
def test_a_step_cannot_send_the_request_elsewhere(proxy: InProcess, origin: Origin, ask: Ask) -> None:
    with steps(proxy, lambda outgoing: replace(outgoing, authority=Authority("evil.example.test", 443))):
        reply = ask(proxy, b"hello")
    assert (reply.status, reply.json()["code"]) == (403, "closed")
    assert origin.received == []


@WAYS
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413), (LIMIT * 200, 413)])
def test_a_body_longer_than_its_bound_is_refused_before_anything_left(
    proxy: InProcess, origin: Origin, ask: Ask, size: int, status: int
) -> None:
    with steps(proxy, same):
        reply = ask(proxy, b"x" * size)
    assert reply.status == status
    assert len(origin.received) == (status == 200)
    if status == 413:
        assert reply.json()["code"] == "body_size"
        assert "longer than 1000 bytes" in reply.json()["reason"]


def test_a_declared_length_over_the_bound_is_refused_without_its_body(proxy: InProcess, origin: Origin) -> None:
    with steps(proxy, same):
        got = everything(proxy, render(_head(proxy, "Content-Length: 99999999"), proxy.token) + b"x" * 1_100_000)
    assert got.startswith(b"HTTP/1.1 413 ")
    assert origin.received == []


def test_a_chunked_body_without_end_is_cut_off(proxy: InProcess, origin: Origin) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with steps(proxy, same):
        got = everything(proxy, render(_head(proxy, "Transfer-Encoding: chunked"), proxy.token) + chunk * 40)
    assert got == b"" or got.startswith(b"HTTP/1.1 413 ")
    assert origin.received == []


def test_all_held_bodies_together_are_bounded(proxy: InProcess, origin: Origin) -> None:
    memory = proxy.proxy.gate._memory
    waiting = proxy.lab().wire()
    limit, memory.limit = memory.limit, 900
    try:
        with steps(proxy, same):
            waiting.send(render(_head(proxy, "Content-Length: 900"), proxy.token) + b"x" * 800)
            _until(lambda: memory.used == 800)
            assert over_http1(proxy, b"x" * 200).status == 503
            assert over_http1(proxy, b"x" * 100).status == 200
            waiting.send(b"x" * 100)
            assert waiting.reply().status == 200
            _until(lambda: memory.used == 0)
    finally:
        memory.limit = limit
        waiting.close()
    assert [len(request.body) for request in origin.received] == [100, 900]


def test_a_client_that_goes_away_gives_its_memory_back(proxy: InProcess, origin: Origin) -> None:
    memory = proxy.proxy.gate._memory
    with steps(proxy, same):
        wire = proxy.lab().wire()
        wire.send(render(_head(proxy, "Content-Length: 500"), proxy.token) + b"x" * 300)
        _until(lambda: memory.used == 300)
        wire.close()
        _until(lambda: memory.used == 0)
    assert origin.received == []


def test_a_token_revoked_while_the_body_came_refuses_it(proxy: InProcess, origin: Origin) -> None:
    (rules,) = proxy.proxy.admitter._generations.rule_sets()
    token = proxy.lab().token(rules, execution="ex-revoked")
    with steps(proxy, same):
        wire = proxy.lab().wire()
        wire.send(render(_head(proxy, "Content-Length: 5"), token) + b"hel")
        _until(lambda: proxy.proxy.gate._memory.used == 3)
        proxy.proxy.identities.revocations.add({"ex-revoked": int(time.time()) + 60}, time.time())
        wire.send(b"lo")
        assert wire.reply().status == 407
        wire.close()
    assert origin.received == []


@WAYS
@pytest.mark.parametrize(("coding", "encode"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_an_encoded_body_is_decoded_for_the_steps_and_sent_plain(
    proxy: InProcess, origin: Origin, ask: Ask, coding: str, encode: Callable[[bytes], bytes]
) -> None:
    with steps(proxy, upper):
        reply = ask(proxy, encode(b"hello"), f"Content-Encoding: {coding}", "Content-MD5: abc")
    assert reply.json()["body"] == "HELLO!"
    assert origin.received[0].header("content-encoding") is None
    assert origin.received[0].header("content-md5") is None


@pytest.mark.parametrize(
    ("coding", "body", "status"),
    [
        pytest.param("br", b"x", 415, id="one that is not read here"),
        pytest.param("gzip, gzip", gzip.compress(gzip.compress(b"x")), 415, id="two"),
        pytest.param("gzip", gzip.compress(b"x" * (LIMIT + 1)), 413, id="too long decoded"),
        pytest.param("gzip", gzip.compress(bytes(50_000_000))[:900], 413, id="a bomb"),
        pytest.param("gzip", b"hello", 400, id="not gzip"),
        pytest.param("gzip", gzip.compress(b"hello")[:-1], 400, id="cut off"),
        pytest.param("gzip", gzip.compress(b"hello") + b"more", 400, id="goes on"),
        pytest.param("gzip", gzip.compress(b"a") + gzip.compress(b"b"), 400, id="two members"),
    ],
)
def test_an_encoded_body_that_cannot_be_read_is_refused(
    proxy: InProcess, origin: Origin, coding: str, body: bytes, status: int
) -> None:
    with steps(proxy, same):
        assert over_http1(proxy, body, f"Content-Encoding: {coding}").status == status
    assert origin.received == []


def test_content_encoding_given_twice_is_refused(proxy: InProcess, origin: Origin) -> None:
    with steps(proxy, same):
        reply = over_http1(proxy, gzip.compress(b"x"), "Content-Encoding: gzip", "Content-Encoding: identity")
    assert reply.status == 415
    assert origin.received == []


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_without_a_body_runs_its_steps_on_nothing(proxy: InProcess, origin: Origin, method: str) -> None:
    head = f"{method} https://{proxy.authority}/ HTTP/1.1\nHost: {proxy.authority}"
    with steps(proxy, same):
        assert _http1(proxy, render(head, proxy.token)).status == 200
        assert http2.request(proxy.lab(), proxy.authority, proxy.token, method=method).status == 200
    assert [request.header("content-length") for request in origin.received] == [None, None]
    with steps(proxy, refuse):
        assert _http1(proxy, render(head, proxy.token)).status == 403


def test_the_next_request_on_the_connection_is_unharmed(proxy: InProcess) -> None:
    wire = proxy.lab().wire()
    data = render(_head(proxy, "Content-Length: 5"), proxy.token) + b"hello"
    statuses = []
    for step in (same, refuse, upper):
        with steps(proxy, step):
            wire.send(data)
            statuses.append(wire.reply().status)
    assert statuses == [200, 403, 200]
    wire.close()


def test_expect_100_continue_is_answered_here_and_not_sent_on(proxy: InProcess, origin: Origin) -> None:
    with steps(proxy, same):
        wire = proxy.lab().wire()
        wire.send(render(_head(proxy, "Content-Length: 5", "Expect: 100-continue"), proxy.token))
        assert wire.reply(head=True).status == 100
        wire.send(b"hello")
        assert wire.reply().status == 200
        wire.close()
    assert origin.received[0].header("expect") is None


@pytest.mark.parametrize("held", [True, False])
def test_request_trailers_are_dropped(proxy: InProcess, origin: Origin, held: bool) -> None:
    """Nothing was decided about them, and one might be a second credential."""
    sent = {"method": "POST", "body": b"hello", "trailers": [("authorization", "Bearer smuggled")]}
    with steps(proxy, *([same] if held else [])):
        assert http2.request(proxy.lab(), proxy.authority, proxy.token, **sent).status == 200
    assert "smuggled" not in json.dumps([request.headers for request in origin.received])


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@given(body=st.binary(max_size=3000), limit=st.integers(0, 2000))
def test_decoding_gives_the_body_or_a_refusal_and_never_more_than_its_bound(body: bytes, limit: int) -> None:
    decoded = decode_body(gzip.compress(body), "gzip", limit)
    if not isinstance(decoded, Denial):
        assert decoded == body
    assert isinstance(decoded, Denial) == (len(body) > limit)


@given(raw=st.binary(max_size=200), coding=st.sampled_from(["gzip", "deflate", "identity", "x", "gzip,gzip"]))
def test_decoding_never_raises(raw: bytes, coding: str) -> None:
    decoded = decode_body(raw, coding, 100)
    assert isinstance(decoded, Denial) or len(decoded) <= max(100, len(raw))


def test_steps_end_at_the_first_refusal() -> None:
    ran: list[str] = []

    def noted(name: str, step: BodyStep) -> BodyStep:
        def run(outgoing: Outgoing) -> Outgoing | Denial:
            ran.append(name)
            return step(outgoing)

        return run

    asked = Outgoing(
        method="POST", scheme="https", authority=Authority("a.test", 443), path="/", query=None, headers=(), body=b"x"
    )
    done = run_steps(asked, [noted("a", upper), noted("b", refuse), noted("c", upper)], b"x")
    assert isinstance(done, Denial)
    assert ran == ["a", "b"]


def test_wire_is_closed_after_a_flood(proxy: InProcess) -> None:
    """A refused sender that goes on is cut off, and the connection is not used again."""
    with steps(proxy, same):
        wire = proxy.lab().wire()
        wire.send(render(_head(proxy, "Content-Length: 3000000"), proxy.token))
        try:
            for _ in range(46):
                wire.send(b"x" * 65536)
            assert wire.reply().status == 413
            assert wire.eof()
        except ConnectionError:
            pass
        finally:
            wire.close()
