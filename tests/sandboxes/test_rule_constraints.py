"""What rules may want of query, headers and body: each constraint with what passes it and what does not."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from sandboxes.egress_decision import decide
from sandboxes.egress_rule import EgressRule
from sandboxes.request_facts import RequestFacts
from sandboxes.rule_set import RuleSet

RULE = {"name": "r", "hosts": ["api.test"], "methods": ["*"], "paths": ["/**"]}
JSON = ((b"Content-Type", b"application/json"),)


def asked(**fields: Any) -> RequestFacts:
    base = {"method": "GET", "scheme": "https", "host": "api.test", "port": 443, "path": "/a"}
    return RequestFacts(**{**base, **fields})


def posted(body: Any, **fields: Any) -> RequestFacts:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return asked(**{"method": "POST", "headers": JSON, "body_length": len(raw), "body": raw, **fields})


def said(rule: dict[str, Any], request: RequestFacts) -> str:
    """`allowed`, or what the rule lacks."""
    decision = decide(RuleSet(rules=(EgressRule.model_validate({**RULE, **rule}),)), request)
    return "allowed" if decision.allowed else decision.reason.removeprefix('rule "r": ')


@pytest.mark.parametrize(
    ("wanted", "query", "expected"),
    [
        pytest.param({}, "q=1", "allowed", id="required and there"),
        pytest.param({}, None, 'the query parameter "q" must be there', id="required and missing"),
        pytest.param({}, "other=q", 'the query parameter "q" must be there', id="a value is no name"),
        pytest.param({"presence": "optional"}, "x=1", "allowed", id="optional and missing"),
        pytest.param({"presence": "absent"}, "x=1", "allowed", id="absent and missing"),
        pytest.param({"presence": "absent"}, "q", 'the query parameter "q" must not be there', id="absent and there"),
        pytest.param({"values": ["a b", "c"]}, "q=a%20b", "allowed", id="a value, decoded once"),
        pytest.param({"values": ["c"]}, "q=%63", "allowed", id="the same value encoded"),
        pytest.param({"values": ["c"]}, "q=C", 'the query parameter "q" must be one of the rule\'s values', id="case"),
        pytest.param({"values": ["a b"]}, "q=a%2520b", "the query parameter", id="encoded twice is another value"),
        pytest.param({"pattern": "[0-9]+"}, "q=12", "allowed", id="pattern"),
        pytest.param({"pattern": "[0-9]+"}, "q=12x", 'the query parameter "q" must match [0-9]+', id="all of it"),
        pytest.param({"pattern": "[0-9]+"}, "q=", 'the query parameter "q" must match', id="nothing"),
        pytest.param({}, "q=1&q=2", 'the query has the parameter "q" twice', id="twice"),
        pytest.param({}, "q=1&%71=2", 'the query has the parameter "q" twice', id="twice, once encoded"),
        pytest.param({}, "q=1&Q=2", "some servers take for one the rule constrains", id="in another case"),
        pytest.param({}, "q=1&q[]=2", "some servers take for one the rule constrains", id="as an array"),
        pytest.param({}, "q=1&q.x=2", "some servers take for one the rule constrains", id="as an object"),
        pytest.param({}, "q=1&%20q=2", "some servers take for one the rule constrains", id="with a space before"),
        pytest.param({}, "q=1;x=2", 'the query has a ";"', id="semicolon"),
        pytest.param({"values": ["a b"]}, "q=a+b", 'the query has a "+"', id="plus"),
        pytest.param({}, "q=%zz", 'a "%" that encodes nothing', id="broken encoding"),
        pytest.param({}, "q=%ff", "not UTF-8", id="not UTF-8"),
        pytest.param({}, "q=1%00", "control character", id="NUL"),
        pytest.param({}, "q=1&=2", "without a name", id="no name"),
        pytest.param({}, "q=1&&x=2&", "allowed", id="empty parts mean nothing"),
        pytest.param({}, "x=1&x=2&q=3", "allowed", id="other parameters may repeat"),
    ],
)
def test_query(wanted: dict[str, Any], query: str | None, expected: str) -> None:
    assert expected in said({"query": {"q": wanted}}, asked(query=query))


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (None, "allowed"),
        ("", "allowed"),
        ("q=1", "allowed"),
        ("q=1&x=2", "the query has a parameter that the rule does not name"),
        ("x", "the query has a parameter that the rule does not name"),
    ],
)
def test_exact_query(query: str | None, expected: str) -> None:
    assert said({"query": {"q": {"presence": "optional"}}, "query_exact": True}, asked(query=query)) == expected


def test_a_member_of_a_parameter_may_be_constrained_by_itself() -> None:
    rule = {"query": {"filter[owner]": {"values": ["me"]}}}
    assert said(rule, asked(query="filter[owner]=me&filter[age]=3")) == "allowed"
    assert said(rule, asked(query="filter[owner]=me&filter=x")) != "allowed"
    assert said(rule, asked(query="filter[owner]=me&Filter[Owner]=you")) != "allowed"


def test_a_query_nothing_is_said_of_passes_as_it_came() -> None:
    assert said({}, asked(query="a=1;b+c&%zz")) == "allowed"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        (((b"X-Tenant", b"red"),), "allowed"),
        (((b"x-tenant", b" red\t"),), "allowed"),
        ((), 'the header "x-tenant" must be there'),
        (((b"X-Tenant", b"blue"),), 'the header "x-tenant" must be one of the rule\'s values'),
        (((b"X-Tenant", b"red"), (b"x-tenant", b"red")), 'the header "x-tenant" is given twice'),
        (((b"X-Tenant", b"red, blue"),), 'the header "x-tenant" must be one of the rule\'s values'),
        (((b"X_Tenant", b"red"),), 'the header "x-tenant" must be there'),
    ],
)
def test_headers(headers: tuple[tuple[bytes, bytes], ...], expected: str) -> None:
    assert said({"headers": {"x-tenant": {"values": ["red"]}}}, asked(headers=headers)) == expected


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        (b"application/json", "allowed"),
        (b"Application/JSON; charset=utf-8", "allowed"),
        (b"text/csv", "allowed"),
        (b"text/", "the content type is given twice, or is malformed"),
        (b"application/xml", "the content type must be application/json, text/*"),
        (b"application/json, application/xml", "the content type is given twice, or is malformed"),
        (b"application/json;application/xml", "the content type is given twice, or is malformed"),
        (b"", "the content type is given twice, or is malformed"),
    ],
)
def test_content_types(content_type: bytes, expected: str) -> None:
    rule = {"body": {"content_types": ["application/json", "text/*"]}}
    assert said(rule, asked(body_length=5, headers=((b"content-type", content_type),))) == expected


def test_a_request_without_a_body_needs_no_content_type() -> None:
    rule = {"body": {"content_types": ["application/json"]}}
    assert said(rule, asked()) == "allowed"
    assert said(rule, asked(body_length=1)) == "the content type must be application/json"
    assert said(rule, asked(headers=(*JSON, *JSON), body_length=1)) != "allowed"


@pytest.mark.parametrize(
    ("length", "body", "expected"),
    [
        (10, None, "allowed"),
        (11, None, "the body has more than 10 bytes"),
        (None, None, "the request's body decides, up to 10 bytes of it"),
        (None, b"x" * 10, "allowed"),
        (None, b"x" * 11, "the body has more than 10 bytes"),
    ],
)
def test_body_size(length: int | None, body: bytes | None, expected: str) -> None:
    assert said({"body": {"max_bytes": 10}}, asked(body_length=length, body=body)) == expected


def test_a_large_body_is_held_to_be_counted_only_up_to_a_bound() -> None:
    rule = {"body": {"max_bytes": "64MiB"}}
    assert said(rule, asked(body_length=2**25)) == "allowed"
    assert "up to 16777216 bytes" in said(rule, asked(body_length=None))


def call(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


READ = {"jsonrpc": {"methods": ["read", "list/*"]}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(call("read"), "allowed", id="named"),
        pytest.param(call("list/all"), "allowed", id="by its beginning"),
        pytest.param({"jsonrpc": "2.0", "method": "read"}, "allowed", id="a notification"),
        pytest.param([call("read"), call("list/x")], "allowed", id="a batch"),
        pytest.param(call("write"), 'the body calls "write", which the rule does not name', id="another"),
        pytest.param(call("Read"), 'the body calls "Read"', id="another case"),
        pytest.param([call("read"), call("write")], '(element 2 of 2) calls "write"', id="one in a batch"),
        pytest.param([], "1 to 100 elements", id="an empty batch"),
        pytest.param([call("read")] * 101, "1 to 100 elements", id="a long batch"),
        pytest.param([[call("read")]], "is not JSON-RPC", id="a batch in a batch"),
        pytest.param({"method": "read"}, "is not JSON-RPC", id="no version"),
        pytest.param({"jsonrpc": "1.0", "method": "read"}, "is not JSON-RPC", id="another version"),
        pytest.param({**call("read"), "Method": "write"}, "does not know", id="a second method by case"),
        pytest.param({**call("read"), "method\0": "write"}, "does not know", id="a second method by NUL"),
        pytest.param({"jsonrpc": "2.0", "method": ["read"]}, "not a string", id="a list of methods"),
        pytest.param({"jsonrpc": "2.0", "method": "read", "params": "x"}, "neither an object nor", id="bad params"),
        pytest.param({"jsonrpc": "2.0", "id": 1, "result": {}}, "is a response", id="a response"),
        pytest.param(b'{"jsonrpc":"2.0","method":"read","method":"write"}', "a name twice", id="a name twice"),
        pytest.param(b'{"jsonrpc":"2.0","method":"read","\\u006dethod":"write"}', "a name twice", id="escaped twice"),
        pytest.param(b'{"jsonrpc":"2.0","method":"read","params":{"a":1,"a":2}}', "a name twice", id="deeper"),
        pytest.param(b'{"jsonrpc":"2.0","method":"read"} {}', "not JSON", id="something after it"),
        pytest.param(b'\xef\xbb\xbf{"jsonrpc":"2.0","method":"read"}', "not JSON", id="a byte order mark"),
        pytest.param('{"jsonrpc":"2.0","method":"read"}'.encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b'{"jsonrpc":"2.0","method":"read","id":NaN}', "NaN", id="NaN"),
        pytest.param(b'{"jsonrpc":"2.0","method":"read","params":' + b"[" * 90_000, "deep", id="deep"),
        pytest.param(b"[" + b"[]," * 300_000 + b"[]]", "values", id="many values"),
        pytest.param(b'{"jsonrpc":"2.0","method":"read","id":' + b"9" * 5000 + b"}", "", id="a number without end"),
        pytest.param(b"", "the request has no body", id="no body"),
    ],
)
def test_json_rpc(body: Any, expected: str) -> None:
    got = said(READ, posted(body))
    assert expected in got
    assert (got == "allowed") == (expected == "allowed")


def test_json_rpc_waits_for_the_body_when_all_else_is_right() -> None:
    assert "body decides, up to 1048576" in said(READ, asked(method="POST", headers=JSON, body_length=9))
    assert "body decides, up to 1048576" in said(READ, asked(method="POST", headers=JSON, body_length=None))
    assert "the body has more than" in said(READ, asked(method="POST", headers=JSON, body_length=2**21))
    assert said(READ, asked(method="POST", body_length=9)) == "the content type must be JSON"
    other = ((b"content-type", b"application/json; charset=utf-16"),)
    assert said(READ, asked(method="POST", headers=other, body_length=9)) == "the body's character set must be UTF-8"


SEARCH = {"repo": {"values": ["a/b"]}, "n": {"values": [1], "presence": "optional"}}
MCP = {"mcp": {"tools": ["search", "get_*"], "arguments": {"search": SEARCH}}}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param(call("initialize"), "allowed", id="the handshake"),
        pytest.param({"jsonrpc": "2.0", "method": "notifications/initialized"}, "allowed", id="its end"),
        pytest.param(call("tools/list"), "allowed", id="listing"),
        pytest.param(call("tools/call", name="get_x", arguments={"any": 1}), "allowed", id="a tool by its beginning"),
        pytest.param(call("tools/call", name="get_x"), "allowed", id="no arguments"),
        pytest.param(call("tools/call", name="search", arguments={"repo": "a/b"}), "allowed", id="an argument"),
        pytest.param(call("tools/call", name="search", arguments={"repo": "a/b", "n": 1}), "allowed", id="two"),
        pytest.param(call("tools/call", name="drop"), 'calls the tool "drop"', id="another tool"),
        pytest.param(
            call("tools/call", name="search", arguments={"repo": "c"}), "one of the rule's values", id="value"
        ),
        pytest.param(call("tools/call", name="search"), "must be there", id="an argument missing"),
        pytest.param(call("tools/call", name="search", arguments={"repo": ["a/b"]}), "one of the rule's", id="a list"),
        pytest.param(
            call("tools/call", name="search", arguments={"repo": "a/b", "n": True}), "one of", id="true for 1"
        ),
        pytest.param(call("tools/call", name="search", arguments={"repo": "a/b", "n": "1"}), "one of", id="text for 1"),
        pytest.param(call("tools/call", name="search", arguments={"repo": "a/b", "Repo": "c"}), "read as", id="case"),
        pytest.param(call("tools/call", name="search", Name="drop", arguments={}), "two ways", id="two names"),
        pytest.param(call("tools/call", name="get_x", arguments=[]), "not an object", id="a list of arguments"),
        pytest.param(call("tools/call", name=None), "no tool name", id="no name"),
        pytest.param({"jsonrpc": "2.0", "method": "tools/call", "params": []}, "not those of tools/call", id="params"),
        pytest.param(call("resources/read", uri="file:///"), 'calls "resources/read"', id="another method"),
        pytest.param([call("ping"), call("tools/call", name="drop")], "(element 2 of 2)", id="one of a batch"),
        pytest.param({"jsonrpc": "2.0", "id": 1, "result": {}}, "allowed", id="the answer to a ping"),
        pytest.param({"jsonrpc": "2.0", "id": 1, "result": {"a": 1}}, "is a response", id="another answer"),
    ],
)
def test_mcp(body: Any, expected: str) -> None:
    got = said(MCP, posted(body))
    assert expected in got
    assert (got == "allowed") == (expected == "allowed")


def test_mcp_without_a_body_listens_or_ends_a_session() -> None:
    assert said(MCP, asked(method="GET")) == "allowed"
    assert said(MCP, asked(method="DELETE")) == "allowed"
    assert said(MCP, asked(method="POST")) == "the request has no body"
    assert said(MCP, posted(call("tools/call", name="drop"), method="GET")) != "allowed"


def test_mcp_further_methods() -> None:
    rule = {"mcp": {"tools": [], "methods": ["resources/*"]}}
    assert said(rule, posted(call("resources/read"))) == "allowed"
    assert said(rule, posted(call("tools/call", name="x"))) != "allowed"
    # tools alone decides about tools/call, whatever methods says
    assert said({"mcp": {"methods": ["*"]}}, posted(call("tools/call", name="x"))) != "allowed"


QUERIES = {"graphql": {"operations": ["query"]}}
LONG_QUERY = "query A($x: Int = 1) @d { a(x: $x) { ...F } } fragment F on T { b }"
APOLLO = {"persistedQuery": {"sha256Hash": "x"}}
SAME = "query A { a } mutation A { b }"
TWO = "query A { a } mutation B { b }"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param({"query": "{ a }"}, "allowed", id="short form"),
        pytest.param({"query": LONG_QUERY}, "allowed", id="with variables, directives, fragments"),
        pytest.param({"query": "mutation { a }"}, "is a mutation", id="a mutation"),
        pytest.param({"query": "subscription { a }"}, "is a subscription", id="a subscription"),
        pytest.param({"query": '# { a }\nmutation { a(x: "query { b }") }'}, "is a mutation", id="hidden in a comment"),
        pytest.param({"query": TWO, "operationName": "A"}, "allowed", id="the query of two"),
        pytest.param({"query": TWO, "operationName": "B"}, "is a mutation", id="the mutation of two"),
        pytest.param({"query": TWO}, "2 operations to run", id="none of two"),
        pytest.param({"query": TWO, "operationName": "C"}, "0 operations to run", id="a third of two"),
        pytest.param({"query": TWO, "operationName": ""}, "not a name", id="an empty name"),
        pytest.param({"query": SAME, "operationName": "A"}, "2 operations", id="a name twice"),
        pytest.param({"query": "{ a } mutation B { b }", "operationName": None}, "2 operations", id="null is no name"),
        pytest.param({"query": "{ a"}, "does not parse", id="cut off"),
        pytest.param({"query": "fragment F on T { a }"}, "0 operations", id="only a fragment"),
        pytest.param({"query": "type T { a: Int }"}, "defines types", id="a schema"),
        pytest.param({"query": "{" * 100_000}, "levels", id="deep"),
        pytest.param({"query": "{ a" + "{a" * 60 + "}" * 61}, "levels", id="a little too deep"),
        pytest.param({"query": "{ " + "a " * 20_000 + "}"}, "tokens", id="long"),
        pytest.param({"query": "#\n" * 40_000 + "{ a }"}, "comments", id="comments without end"),
        pytest.param({"query": "{ a }" + " " * 100_000}, "characters", id="many characters"),
        pytest.param({"query": ["{ a }"]}, "no GraphQL document", id="a list"),
        pytest.param({}, "no GraphQL document", id="nothing"),
        pytest.param([{"query": "{ a }"}, {"query": "mutation { a }"}], "is a mutation", id="one of a batch"),
        pytest.param([], "1 to 100", id="an empty batch"),
        pytest.param({"query": "{ a }", "Query": "mutation { a }"}, "does not know", id="two documents by case"),
        pytest.param({"query": "{ a }", "id": "x"}, "does not know", id="a name of a stored document"),
        pytest.param({"documentId": "x"}, "names a persisted document", id="persisted"),
        pytest.param({"extensions": APOLLO}, "names a persisted", id="persisted, Apollo"),
        pytest.param({"query": "{ a }", "extensions": APOLLO}, "not the persisted", id="a lie"),
        pytest.param({"documentId": "x", "extensions": {"persistedQuery": {"sha256Hash": "y"}}}, "two ways", id="two"),
        pytest.param({"query": "{ a }", "extensions": []}, "not an object", id="bad extensions"),
        pytest.param(b"{ a }", "not JSON", id="not JSON"),
    ],
)
def test_graphql(body: Any, expected: str) -> None:
    got = said(QUERIES, posted(body))
    assert expected in got
    assert (got == "allowed") == (expected == "allowed")


def test_graphql_persisted_documents_are_allowed_by_name() -> None:
    rule = {"graphql": {"operations": ["query"], "persisted": ["abc"]}}
    assert said(rule, posted({"documentId": "abc"})) == "allowed"
    assert said(rule, posted({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "abc"}}})) == "allowed"
    assert said(rule, posted({"documentId": "ABC"})) != "allowed"


def test_graphql_in_the_query() -> None:
    assert said(QUERIES, asked(query="query=%7Ba%7D")) == "allowed"
    assert "is a mutation" in said(QUERIES, asked(query="query=mutation%7Ba%7D"))
    assert "twice" in said(QUERIES, asked(query="query=%7Ba%7D&query=mutation%7Ba%7D"))
    assert "does not know" in said(QUERIES, asked(query="query=%7Ba%7D&QUERY=mutation%7Ba%7D"))
    assert said(QUERIES, asked()) == "the request has no GraphQL document"
    assert said(QUERIES, asked(method="POST", query="query=%7Ba%7D")) == "the request has no body"


def test_graphql_in_query_and_body_is_two_readings() -> None:
    """Some servers take the query's document before the body's."""
    assert "in its query too" in said(QUERIES, posted({"query": "{ a }"}, query="query=mutation%7Ba%7D"))
    assert "in its query too" in said(QUERIES, posted({"query": "{ a }"}, query="operationName=B"))
    assert "in its query too" in said(QUERIES, posted({"query": "{ a }"}, query="Extensions=%7B%7D"))
    assert said(QUERIES, posted({"query": "{ a }"}, query="trace=1")) == "allowed"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        pytest.param({"query": {"q": {"pattern": "("}}}, "not an RE2 pattern", id="a broken pattern"),
        pytest.param({"query": {"q": {"pattern": "(a)\\1"}}}, "not an RE2 pattern", id="a backreference"),
        pytest.param({"query": {"q": {"pattern": "a" * 1001}}}, "at most 1000", id="a long pattern"),
        pytest.param({"query": {"q": {"pattern": "(((a{100}){100}){100}){100}"}}}, "RE2", id="a huge pattern"),
        pytest.param({"query": {"q": {"values": ["a"], "pattern": "a"}}}, "not both", id="values and pattern"),
        pytest.param(
            {"query": {"q": {"presence": "absent", "values": ["a"]}}}, "must be absent", id="absent and value"
        ),
        pytest.param({"headers": {"X-A": {}}}, "in lower case", id="header in capitals"),
        pytest.param({"headers": {"authorization": {}}}, "carries a credential", id="a credential"),
        pytest.param({"headers": {"content-type": {}}}, "set by the proxy", id="content-type has its own place"),
        pytest.param({"body": {"content_types": ["json"]}}, "not a content type", id="no type"),
        pytest.param({"body": {"content_types": ["*/*"]}}, "not a content type", id="every type"),
        pytest.param({"body": {"max_bytes": -1}}, "greater than or equal to 0", id="a negative size"),
        pytest.param({"jsonrpc": {"methods": []}}, "at least 1 item", id="no methods"),
        pytest.param({"jsonrpc": {"methods": ["a*b"]}}, '"*" stands at the end only', id="star inside"),
        pytest.param(
            {"mcp": {"tools": ["a"], "arguments": {"b": {}}}}, "tools does not allow", id="an unreachable tool"
        ),
        pytest.param({"graphql": {"operations": ["read"]}}, "'query', 'mutation' or 'subscription'", id="a kind"),
        pytest.param({"graphql": {}, "mcp": {}}, "reads bodies as mcp and as graphql", id="two readings"),
        pytest.param(
            {"graphql": {}, "body": {"max_bytes": "17MiB"}}, "have at most 16777216 bytes", id="too much to read"
        ),
        pytest.param({"query": {"": {}}}, "at least 1 character", id="no parameter name"),
    ],
)
def test_broken_constraints_are_refused_with_what_to_write(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message.replace("*", r"\*")):
        EgressRule.model_validate({**RULE, **fields})


def test_the_reason_names_fields_and_never_quotes_their_values() -> None:
    rule = {"query": {"q": {"values": ["a"]}}, "headers": {"x-a": {"values": ["b"]}}}
    assert "hunter2" not in said(rule, asked(query="q=hunter2"))
    assert "hunter2" not in said(rule, asked(query="q=a", headers=((b"x-a", b"hunter2"),)))
    assert "hunter2" not in said(MCP, posted(call("tools/call", name="search", arguments={"repo": "hunter2"})))
    assert "hunter2" not in said(READ, posted(b"hunter2"))
