"""The gateway's client against the live proxy."""

import asyncio
import gzip
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest

from runtime.execution.content_coding import CodingError, decode
from runtime.execution.fetcher import ProgramFetcher
from runtime.execution.hostcall import CallContext
from runtime.execution.outbound import Outbound, OutboundError, OutboundRequest
from runtime.execution.outbound_transport import EgressError, OutboundTransport
from runtime.execution.redirects import fetch, fetch_document, next_hop
from tests.egress.lab import SECRET, World, rule, rule_set
from tests.egress.origin import Origin, Received, answer


@pytest.fixture
async def outbound(world: World) -> AsyncIterator[Outbound]:
    async with Outbound("127.0.0.1", world.lab.port) as made:
        yield made


async def failing(outbound: Outbound, world: World, **fields: Any) -> OutboundError:
    with pytest.raises(OutboundError) as caught:
        await outbound.send(OutboundRequest(**{"url": f"{world.http}/", **fields}), world.token())
    return caught.value


async def test_an_answer(outbound: Outbound, world: World) -> None:
    request = OutboundRequest(
        url=f"{world.https}/a?b=c d#frag", method="POST", headers=(("X-A", "1"), ("Host", "evil.test")), body=b"{}"
    )
    response = await outbound.send(request, world.token())
    seen = json.loads(response.body)
    assert (response.status, response.reason) == (200, "OK")
    assert seen["line"] == "POST /a?b=c%20d HTTP/1.1"
    assert seen["body"] == "{}"
    assert ["X-A", "1"] in seen["headers"]
    assert response.egress.allowed
    assert response.egress.rule == "r"
    assert response.header("CONTENT-TYPE") == "application/json"
    assert response.header("lockgate-egress") == ""


async def test_a_credential_is_told_in_redacted_form(outbound: Outbound, world: World) -> None:
    response = await outbound.send(OutboundRequest(url=f"{world.https}/"), world.token(world.with_secret))
    assert response.egress.credential == "ledger-token -> authorization: Bearer ***"
    assert world.secure.received[0].header("authorization") == f"Bearer {SECRET}"
    assert SECRET not in response.body.decode()


async def test_connections_are_kept(outbound: Outbound, world: World) -> None:
    for _ in range(5):
        await outbound.send(OutboundRequest(url=f"{world.https}/"), world.token())
    assert len({request.connection for request in world.secure.received}) == 1


async def test_an_error_status_is_an_answer(outbound: Outbound, world: World) -> None:
    world.plain.handler = lambda _: answer(b"no", "503 Service Unavailable")
    assert (await outbound.send(OutboundRequest(url=f"{world.http}/"), world.token())).status == 503


async def test_denied(outbound: Outbound, world: World) -> None:
    error = await failing(outbound, world, url="http://elsewhere.example.test/x")
    assert (error.code, error.status, error.retryable) == ("denied", 403, False)
    assert error.message == "egress denied: no rule names the host elsewhere.example.test"
    assert error.details["hint"]["hosts"] == ["elsewhere.example.test"]


async def test_an_upstreams_own_403_is_an_answer(outbound: Outbound, world: World) -> None:
    world.plain.handler = lambda _: answer(b'{"error":"egress_denied"}', "403 Forbidden", ("lockgate-egress", "{}"))
    assert (await outbound.send(OutboundRequest(url=f"{world.http}/"), world.token())).status == 403


async def test_an_upstreams_own_502_is_an_answer(outbound: Outbound, world: World) -> None:
    world.plain.handler = lambda _: answer(b'{"error":"upstream_unreachable"}', "502 Bad Gateway")
    assert (await outbound.send(OutboundRequest(url=f"{world.http}/"), world.token())).status == 502


async def test_unreachable_upstream(outbound: Outbound, world: World) -> None:
    dead = Origin(lambda _: b"")
    dead.close()
    token = world.load(rule_set(rule(ports=[dead.port])))
    with pytest.raises(OutboundError) as caught:
        await outbound.send(OutboundRequest(url=f"http://api.example.test:{dead.port}/"), token)
    assert (caught.value.code, caught.value.retryable) == ("unavailable", True)
    assert "refused" in caught.value.message


async def test_unreachable_proxy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    async with Outbound("127.0.0.1", port) as outbound:
        with pytest.raises(OutboundError) as caught:
            await outbound.send(OutboundRequest(url="http://a.example.test/"), "t")
    assert caught.value.code == "unavailable"
    assert caught.value.details == {"sent": False}


async def test_what_is_no_proxy_is_not_believed(world: World) -> None:
    async with Outbound("127.0.0.1", world.plain.port) as outbound:
        with pytest.raises(OutboundError, match="did not come from the egress proxy"):
            await outbound.send(OutboundRequest(url="http://a.example.test/"), "t")


async def test_timeout(outbound: Outbound, world: World) -> None:
    release = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(_: Received) -> bytes:
        asyncio.run_coroutine_threadsafe(release.wait(), loop).result(10)
        return answer()

    world.plain.handler = slow
    error = await failing(outbound, world, timeout_s=0.2)
    release.set()
    assert (error.code, error.retryable, error.details["sent"]) == ("timeout", True, True)


async def test_a_body_beyond_its_limit_is_not_read_on(outbound: Outbound, world: World) -> None:
    def endless(_: Received):
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        while True:
            yield b"5\r\nhello\r\n"

    world.plain.handler = endless
    error = await failing(outbound, world, max_response_bytes=10_000)
    assert (error.code, error.details["limit"], error.details["value"]) == ("limit", "response_bytes", 10_000)


async def test_gzip_is_decoded_within_the_limit(outbound: Outbound, world: World) -> None:
    world.plain.handler = lambda _: answer(gzip.compress(b"x" * 5_000), "200 OK", ("Content-Encoding", "gzip"))
    response = await outbound.send(OutboundRequest(url=f"{world.http}/"), world.token())
    assert response.body == b"x" * 5_000
    assert response.header("content-encoding") == ""
    assert (await failing(outbound, world, max_response_bytes=4_999)).code == "limit"


def test_decoding() -> None:
    assert decode(gzip.compress(b"a") + gzip.compress(b"b"), "gzip", 10) == b"ab"
    assert decode(b"raw", "br", 10) == b"raw"
    assert decode(gzip.compress(bytes(50_000_000)), "gzip", 1_000) is None
    with pytest.raises(CodingError):
        decode(gzip.compress(b"abc")[:-5], "gzip", 10)
    with pytest.raises(CodingError):
        decode(b"nonsense", "gzip", 10)


@pytest.mark.parametrize(
    "fields",
    [
        {"url": "ftp://a/"},
        {"url": "/relative"},
        {"url": "http://"},
        {"url": "http://user:pass@api.example.test/"},
        {"url": "http://a:99999/"},
        {"url": "http://a b/"},
        {"method": "GE T"},
        {"headers": (("X", "€"),)},
        {"headers": (("X", "a\r\nY: b"),)},
        {"headers": (("X Y", "a"),)},
        {"url": "http://127.1/"},
        {"url": "http://api.example.test/a/../b"},
    ],
)
async def test_what_cannot_be_sent(outbound: Outbound, world: World, fields: dict[str, Any]) -> None:
    error = await failing(outbound, world, **fields)
    assert error.code == "invalid_argument"
    assert world.plain.received == []


async def test_redirects_are_followed_here_each_hop_decided_afresh(outbound: Outbound, world: World) -> None:
    def hop(request: Received) -> bytes:
        if " /start" in request.line:
            return answer(b"", "302 Found", ("Location", f"{world.https}/end"))
        return answer(b"", "307 Temporary Redirect", ("Location", "http://elsewhere.example.test/"))

    world.plain.handler = hop
    request = OutboundRequest(
        url=f"{world.http}/start",
        method="POST",
        body=b"x",
        headers=(("Authorization", "mine"), ("Content-Type", "a/b")),
    )
    fetched = await fetch(outbound, request, world.token())
    assert (fetched.url, fetched.redirected) == (f"{world.https}/end", True)
    (arrived,) = world.secure.received
    assert arrived.line == "GET /end HTTP/1.1"
    assert not {"authorization", "content-type", "content-length"} & set(arrived.names())
    with pytest.raises(OutboundError, match="no rule names the host elsewhere"):
        await fetch(outbound, OutboundRequest(url=f"{world.http}/other"), world.token())


async def test_redirect_modes_and_loops(outbound: Outbound, world: World) -> None:
    world.plain.handler = lambda _: answer(b"", "301 Moved", ("Location", "/again"))
    request = OutboundRequest(url=f"{world.http}/")
    manual = await fetch(outbound, request, world.token(), "manual")
    assert (manual.response.status, manual.redirected) == (301, False)
    with pytest.raises(OutboundError, match="redirect is set to error"):
        await fetch(outbound, request, world.token(), "error")
    world.plain.received.clear()
    with pytest.raises(OutboundError, match="more than 10 redirects"):
        await fetch(outbound, request, world.token())
    assert len(world.plain.received) == 11


@pytest.mark.parametrize(
    ("status", "method", "location", "expected"),
    [
        (301, "POST", "/x", ("GET", "https://a.com/x", None, True)),
        (302, "POST", "/x", ("GET", "https://a.com/x", None, True)),
        (303, "PUT", "/x", ("GET", "https://a.com/x", None, True)),
        (303, "HEAD", "/x", ("HEAD", "https://a.com/x", b"b", True)),
        (301, "PUT", "/x", ("PUT", "https://a.com/x", b"b", True)),
        (307, "POST", "/x", ("POST", "https://a.com/x", b"b", True)),
        (308, "POST", "https://a.com:443/x", ("POST", "https://a.com:443/x", b"b", True)),
        (307, "GET", "http://a.com/x", ("GET", "http://a.com/x", b"b", False)),
        (307, "GET", "https://a.com:8443/x", ("GET", "https://a.com:8443/x", b"b", False)),
        (307, "GET", "//b.com/x", ("GET", "https://b.com/x", b"b", False)),
    ],
)
def test_next_hop(status: int, method: str, location: str, expected: tuple[str, str, bytes | None, bool]) -> None:
    request = OutboundRequest(url="https://a.com/y", method=method, body=b"b", headers=(("Authorization", "t"),))
    hop = next_hop(request, status, location)
    assert hop is not None
    assert (hop.method, hop.url, hop.body, bool(hop.headers)) == expected


def test_next_hop_where_there_is_none() -> None:
    request = OutboundRequest(url="https://a.com/y")
    assert next_hop(request, 200, "/x") is None
    assert next_hop(request, 302, "") is None
    assert next_hop(request, 304, "/x") is None
    with pytest.raises(OutboundError, match="not http"):
        next_hop(request, 302, "file:///etc/passwd")


async def test_fetch_document(outbound: Outbound, world: World) -> None:
    world.plain.handler = lambda request: (
        answer(b"", "302 Found", ("Location", "/doc")) if "/old" in request.line else answer(b"document")
    )
    assert await fetch_document(outbound, f"{world.http}/old", world.token()) == b"document"
    world.plain.handler = lambda _: answer(b"gone", "404 Not Found")
    with pytest.raises(OutboundError, match="answered 404") as caught:
        await fetch_document(outbound, f"{world.http}/doc", world.token())
    assert caught.value.code == "upstream_error"


def context(world: World, **fields: Any) -> CallContext:
    base = {"execution_id": "e", "actor": "a", "environment": "dev", "token": lambda _: world.token()}
    return CallContext(**{**base, "deadline": time.monotonic() + 10, "max_response_bytes": 1 << 20, **fields})


async def test_a_programs_fetch(outbound: Outbound, world: World) -> None:
    world.plain.handler = lambda request: answer(request.body, "200 Fine", ("X-Method", request.line.split()[0]))
    fetcher = ProgramFetcher(outbound)
    request = {
        "url": f"{world.http}/x",
        "method": "PUT",
        "headers": [["A", "b"]],
        "body": "aMOp/w==",
        "body_base64": True,
    }
    reply = await fetcher.fetch(request, context(world), world.open.digest())
    got = json.loads(reply.payload)
    assert got["body_base64"] is True
    assert got["body"] == "aMOp/w=="
    assert (got["status"], got["status_text"], got["redirected"]) == (200, "Fine", False)
    assert ["x-method", "PUT"] in got["headers"]
    text = await fetcher.fetch({"url": f"{world.http}/x", "body": "héllo", "method": "POST"}, context(world), "")
    assert json.loads(text.payload)["body"] == "héllo"


@pytest.mark.parametrize(
    "request_fields",
    [
        {"url": None},
        {"method": 3},
        {"headers": {"a": "b"}},
        {"headers": [["a"]]},
        {"body": 3},
        {"body": "%", "body_base64": True},
        {"redirect": "sometimes"},
        {"timeout_ms": "soon"},
    ],
)
async def test_a_programs_bad_fetch(outbound: Outbound, world: World, request_fields: dict[str, Any]) -> None:
    with pytest.raises(OutboundError) as caught:
        await ProgramFetcher(outbound).fetch({"url": f"{world.http}/", **request_fields}, context(world), "")
    assert caught.value.code == "invalid_argument"


async def test_the_transport_streams(outbound: Outbound, world: World) -> None:
    """The second event is written only once the first has arrived at the client."""
    arrived = asyncio.Event()
    loop = asyncio.get_running_loop()

    def events(_: Received):
        yield b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        yield b"d\r\ndata: first\n\n\r\n"
        asyncio.run_coroutine_threadsafe(arrived.wait(), loop).result(10)
        yield b"e\r\ndata: second\n\n\r\n0\r\n\r\n"

    world.secure.handler = events
    transport = OutboundTransport(outbound, lambda: world.token(world.with_secret))
    async with httpx2.AsyncClient(transport=transport, trust_env=False) as client:
        lines = []
        async with client.stream("GET", f"{world.https}/events") as response:
            assert response.status_code == 200
            async for line in response.aiter_lines():
                lines.append(line)
                arrived.set()
    assert lines == ["data: first", "", "data: second", ""]
    assert world.secure.received[0].header("authorization") == f"Bearer {SECRET}"


async def test_the_transport_tells_refusals_apart(outbound: Outbound, world: World) -> None:
    async with httpx2.AsyncClient(transport=OutboundTransport(outbound, world.token), trust_env=False) as client:
        with pytest.raises(EgressError) as caught:
            await client.post("https://elsewhere.example.test/", content=b"x")
        assert caught.value.error.code == "denied"
        assert (await client.post(f"{world.http}/", json={"a": 1})).json()["body"] == '{"a":1}'


async def test_many_at_once(outbound: Outbound, world: World) -> None:
    requests = [OutboundRequest(url=f"{world.https}/{number}") for number in range(60)]
    answers = await asyncio.gather(*(outbound.send(request, world.token()) for request in requests))
    assert [json.loads(reply.body)["line"].split()[1] for reply in answers] == [f"/{number}" for number in range(60)]
