"""Rules on queries, headers and bodies through the live proxy: HTTP/1, chunked, and HTTP/2 in a tunnel."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.egress import http2
from tests.egress.lab import SECRET, Reply, World, render, rule, rule_set

Send = Callable[..., Reply]
JSON = "Content-Type: application/json"


def over_http1(world: World, token: str, target: str, body: bytes, *headers: str) -> Reply:
    return _send(world, token, target, body, f"Content-Length: {len(body)}", *headers)


def chunked(world: World, token: str, target: str, body: bytes, *headers: str) -> Reply:
    parts = [body[start : start + 9] for start in range(0, len(body), 9)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return _send(world, token, target, framed, "Transfer-Encoding: chunked", *headers)


def over_http2(world: World, token: str, target: str, body: bytes, *headers: str) -> Reply:
    fields = [(name.lower(), value.strip()) for name, _, value in (header.partition(":") for header in headers)]
    authority = f"api.example.test:{world.secure.port}"
    return http2.request(world.lab, authority, token, method="POST", path=target, headers=fields, body=body)


def _send(world: World, token: str, target: str, framed: bytes, *headers: str) -> Reply:
    authority = f"api.example.test:{world.secure.port}"
    wire = world.lab.wire()
    wire.send(render("\n".join([f"POST https://{authority}{target} HTTP/1.1", f"Host: {authority}", *headers]), token))
    wire.send(framed)
    try:
        return wire.reply()
    finally:
        wire.close()


WAYS = pytest.mark.parametrize("send", [over_http1, chunked, over_http2])


def loaded(world: World, *rules: dict[str, Any]) -> str:
    made = [
        rule(**{"name": f"r{number}", "ports": [world.secure.port], **fields}) for number, fields in enumerate(rules)
    ]
    return world.load(rule_set(*made))


def call(tool: str, **arguments: Any) -> bytes:
    params = {"name": tool, "arguments": arguments}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()


MCP = {"mcp": {"tools": ["search"], "arguments": {"search": {"repo": {"values": ["a/b"]}}}}}


@WAYS
def test_an_allowed_tool_call_arrives_unchanged(world: World, send: Send) -> None:
    body = call("search", repo="a/b")
    reply = send(world, loaded(world, MCP), "/mcp", body, JSON)
    assert reply.status == 200
    assert reply.json()["body"].encode() == body
    assert world.secure.received[0].header("content-length") == str(len(body))


@WAYS
def test_a_refused_tool_call_never_leaves_and_its_answer_says_what_would_allow_it(world: World, send: Send) -> None:
    reply = send(world, loaded(world, MCP), "/mcp", call("drop", table="users"), JSON)
    assert world.secure.received == []
    assert reply.status == 403
    said = reply.json()
    assert (said["code"], said["rule"]) == ("mcp", "r0")
    assert said["reason"] == 'rule "r0": the body calls the tool "drop", which the rule does not name'
    allowed = {"tools": ["drop"], "arguments": {"drop": {"table": {"values": ["users"]}}}}
    assert said["hint"]["mcp"] == allowed
    # What the answer says is enough is enough, and no more.
    token = world.load(rule_set(rule(name="hinted", **said["hint"])))
    assert send(world, token, "/mcp", call("drop", table="users"), JSON).status == 200
    assert send(world, token, "/mcp", call("drop", table="other"), JSON).status == 403
    assert send(world, token, "/other", call("drop", table="users"), JSON).status == 403


@WAYS
@pytest.mark.parametrize(
    "body",
    [
        pytest.param(call("search", repo="c/d"), id="an argument"),
        pytest.param(b"[" + call("search", repo="a/b") + b"," + call("drop") + b"]", id="one of a batch"),
        pytest.param(call("search", repo="a/b")[:-1] + b',"method":"tools/list"}', id="a name twice"),
        pytest.param(call("search", repo="a/b") + call("drop"), id="two values"),
        pytest.param(b"\xff", id="no UTF-8"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_bodies_with_another_or_two_readings_never_leave(world: World, send: Send, body: bytes) -> None:
    assert send(world, loaded(world, MCP), "/mcp", body, JSON).status == 403
    assert world.secure.received == []


@WAYS
def test_a_compressed_call_is_read_and_sent_as_it_was_read(world: World, send: Send) -> None:
    token = loaded(world, MCP)
    coded = ("Content-Encoding: gzip", JSON)
    assert send(world, token, "/mcp", gzip.compress(call("drop")), *coded).status == 403
    assert world.secure.received == []
    reply = send(world, token, "/mcp", gzip.compress(call("search", repo="a/b")), *coded)
    assert reply.json()["body"].encode() == call("search", repo="a/b")
    assert world.secure.received[0].header("content-encoding") is None


@WAYS
def test_a_body_too_long_to_be_read_is_refused(world: World, send: Send) -> None:
    token = loaded(world, {**MCP, "body": {"max_bytes": 100}})
    reply = send(world, token, "/mcp", call("search", repo="x" * 200), JSON)
    assert (reply.status, reply.json()["code"]) == (413, "body_size")
    assert world.secure.received == []


@WAYS
def test_graphql_mutations_never_leave(world: World, send: Send) -> None:
    token = loaded(world, {"graphql": {"operations": ["query"]}})
    two = "query A { a } mutation B { b }"
    for body, status in [
        ({"query": "{ a }"}, 200),
        ({"query": two, "operationName": "A"}, 200),
        ({"query": two, "operationName": "B"}, 403),
        ({"query": two}, 403),
        ({"query": "mutation { a }"}, 403),
        ({"documentId": "stored"}, 403),
    ]:
        assert send(world, token, "/graphql", json.dumps(body).encode(), JSON).status == status
    assert "mutation { a }" not in "".join(str(request.body) for request in world.secure.received)
    assert len(world.secure.received) == 2


@WAYS
def test_content_type_and_headers(world: World, send: Send) -> None:
    token = loaded(world, {"body": {"content_types": ["application/json"]}, "headers": {"x-tenant": {"values": ["a"]}}})
    assert send(world, token, "/", b"{}", JSON, "X-Tenant: a").status == 200
    assert send(world, token, "/", b"{}", "Content-Type: text/xml", "X-Tenant: a").json()["code"] == "content_type"
    assert send(world, token, "/", b"{}", "X-Tenant: a").json()["code"] == "content_type"
    assert send(world, token, "/", b"{}", JSON).json()["code"] == "header"
    assert send(world, token, "/", b"{}", JSON, "X-Tenant: a", "X-Tenant: a").status == 403
    assert len(world.secure.received) == 1


@WAYS
def test_queries(world: World, send: Send) -> None:
    token = loaded(world, {"query": {"q": {"pattern": "[0-9]+"}}, "query_exact": True})
    assert send(world, token, "/?q=12", b"").status == 200
    for query in ("?q=x", "?q=1&q=2", "?q=1&debug=1", "?q=1;debug=1", ""):
        assert send(world, token, f"/{query}", b"").status == 403
    assert [request.line for request in world.secure.received] == ["POST /?q=12 HTTP/1.1"]


@WAYS
def test_the_first_rule_that_allows_the_body_gives_its_credential(world: World, send: Send) -> None:
    """The head alone cannot tell them apart, so neither may its credential go before the body is read."""
    token = loaded(
        world,
        {"jsonrpc": {"methods": ["read"]}},
        {"jsonrpc": {"methods": ["write"]}, "inject": {"secret": "ledger-token", "as": "bearer"}, "schemes": ["https"]},
    )
    for method, credential in (("read", None), ("write", f"Bearer {SECRET}")):
        body = json.dumps({"jsonrpc": "2.0", "method": method}).encode()
        reply = send(world, token, "/", body, JSON, "Authorization: Bearer mine")
        assert reply.status == 200
        sent = world.secure.received[-1].header("authorization")
        assert sent == (credential or "Bearer mine")
    assert send(world, token, "/", b'{"jsonrpc":"2.0","method":"drop"}', JSON).status == 403
    assert len(world.secure.received) == 2


def test_a_chunked_body_is_counted_before_it_leaves(world: World) -> None:
    token = loaded(world, {"body": {"max_bytes": 100}})
    assert chunked(world, token, "/", b"x" * 100).status == 200
    assert chunked(world, token, "/", b"x" * 101).status == 413
    assert [len(request.body) for request in world.secure.received] == [100]


def test_the_event_of_a_refusal_has_no_values(world: World) -> None:
    token = loaded(world, {**MCP, "query": {"q": {}}, "headers": {"x-a": {"values": ["b"]}}})
    target = "/values-refused?q=query-value"
    assert (
        over_http1(world, token, target, call("search", repo="argument-value"), JSON, "X-A: header-value").status == 403
    )
    assert over_http1(world, token, target, call("search", repo="argument-value"), JSON, "X-A: b").status == 403
    world.lab.record("/values-refused?q=*")
    written = world.lab.events.read_text()
    assert "values-refused" in written
    assert not [word for word in ("query-value", "header-value", "argument-value") if word in written]


@WAYS
def test_a_placeholder_in_a_body_that_is_read_never_leaves_to_another_rule(world: World, send: Send) -> None:
    """A held body does not stream past the watch for placeholders; it is searched all the same."""
    word = "LOCKGATE_LEDGER_KEY"
    meant = {
        "hosts": ["other.example.test"],
        "schemes": ["https"],
        "inject": {"secret": "ledger-token", "as": "placeholder", "text": word},
    }
    token = loaded(world, meant, {"jsonrpc": {"methods": ["read"]}})
    for text, status in ((word, 403), (word.lower(), 403), ("harmless", 200)):
        body = json.dumps({"jsonrpc": "2.0", "method": "read", "params": {"x": text}}).encode()
        assert send(world, token, "/", body, JSON).status == status
    assert len(world.secure.received) == 1
