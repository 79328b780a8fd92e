"""A small world of rules and requests in which everything meets everything, for properties of egress decisions."""

import json
from typing import Any

from graphql.language import parse
from hypothesis import strategies as st

from sandboxes.egress_decision import Decision, decide
from sandboxes.egress_rule import EgressRule
from sandboxes.request_facts import RequestFacts
from sandboxes.rule_set import RuleSet

parse("{ a }")  # its first import takes longer than an example may

HOSTS = ["a.test", "b.a.test", "c.b.a.test", "other.test", "10.0.0.1", "::1"]
HOST_PATTERNS = {
    "a.test": lambda host: host == "a.test",
    "*.a.test": lambda host: host == "b.a.test",
    "**.a.test": lambda host: host in {"b.a.test", "c.b.a.test"},
    "**": lambda host: host.endswith(".test"),
    "10.0.0.1": lambda host: host == "10.0.0.1",
}
PATHS = ["/", "/a", "/a/", "/a/b", "/a/b/c", "/x"]
PATH_PATTERNS = {
    "/a": lambda path: path == "/a",
    "/a/*": lambda path: path == "/a/b",
    "/a/**": lambda path: path.startswith("/a/"),
    "/**": lambda _: True,
}
METHODS = ["GET", "POST", "DELETE", "get"]
QUERIES = [None, "", "q=1", "q=2", "q=1&x=1", "x=1", "q=1&q=2", "q=1;x=2", "q=1+2", "Q=1", "q=%31"]
# By query, what one strict reader makes of it; None where there are two readings.
READ = {
    None: {}, "": {}, "q=1": {"q": "1"}, "q=2": {"q": "2"}, "q=1&x=1": {"q": "1", "x": "1"}, "x=1": {"x": "1"},
    "q=1&q=2": None, "q=1;x=2": None, "q=1+2": None, "Q=1": {"Q": "1"}, "q=%31": {"q": "1"},
}  # fmt: skip
HEADERS = [(), ((b"X-T", b"red"),), ((b"x-t", b"blue"),), ((b"X-T", b"red"), (b"x-t", b"red"))]
TYPES = [None, "application/json", "text/plain"]
FIELDS = [
    {},
    {"presence": "optional"},
    {"presence": "absent"},
    {"values": ["1"]},
    {"values": ["1", "2"], "presence": "optional"},
    {"pattern": "[0-1]"},
]
HEADER_FIELDS = [{"values": ["red"]}, {"presence": "absent"}, {}]
CALLS = [
    {"jsonrpc": "2.0", "method": method, "params": params}
    for method, params in [
        ("tools/list", {}),
        ("tools/call", {"name": "t", "arguments": {"n": 1}}),
        ("tools/call", {"name": "t", "arguments": {"n": 1.5, "o": [1]}}),
        ("tools/call", {"name": "u*"}),
        ("other", {}),
    ]
]
DOCUMENTS = ["{ a }", "mutation { a }", "query A { a } mutation B { b }", "{"]
BODIES: list[bytes] = [
    b"",
    b"plain",
    *(json.dumps(one).encode() for one in CALLS),
    *(json.dumps([one, two]).encode() for one in CALLS for two in CALLS[:2]),
    *(json.dumps({"query": document}).encode() for document in DOCUMENTS),
    json.dumps({"query": DOCUMENTS[2], "operationName": "A"}).encode(),
    json.dumps({"documentId": "stored"}).encode(),
]

subset = lambda values, least=1: st.lists(st.sampled_from(values), min_size=least, unique=True)  # noqa: E731
CONSTRAINTS = st.fixed_dictionaries(
    {},
    optional={
        "query": st.dictionaries(st.sampled_from(["q", "x"]), st.sampled_from(FIELDS), min_size=1),
        "query_exact": st.just(value=True),
        "headers": st.fixed_dictionaries({"x-t": st.sampled_from(HEADER_FIELDS)}),
        "body": st.fixed_dictionaries(
            {},
            optional={"content_types": subset(["application/json", "text/*"]), "max_bytes": st.sampled_from([0, 60])},
        ),
    },
)
MESSAGES = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"jsonrpc": st.fixed_dictionaries({"methods": subset(["tools/*", "other"])})}),
    st.sampled_from(
        [
            {"mcp": {"tools": ["t"]}},
            {"mcp": {"tools": ["t"], "arguments": {"t": {"n": {"values": [1]}}}}},
            {"mcp": {"methods": ["other"]}},
            {"graphql": {"operations": ["query"]}},
            {"graphql": {"operations": ["mutation"], "persisted": ["stored"]}},
        ]
    ),
)
BASE = st.fixed_dictionaries(
    {
        "hosts": subset(list(HOST_PATTERNS)),
        "paths": subset(list(PATH_PATTERNS)),
        "methods": subset(["GET", "POST", "*"]),
        "schemes": subset(["http", "https"]),
        "ports": subset([443, 8443], least=0),
    }
)
RULES = st.tuples(BASE, CONSTRAINTS, MESSAGES).map(lambda parts: {**parts[0], **parts[1], **parts[2]})


@st.composite
def requests(draw: Any) -> RequestFacts:
    body = draw(st.sampled_from(BODIES))
    media = draw(st.sampled_from(TYPES))
    extra = ((b"content-type", media.encode()),) if media else ()
    return RequestFacts(
        method=draw(st.sampled_from(METHODS)),
        scheme=draw(st.sampled_from(["http", "https"])),
        host=draw(st.sampled_from(HOSTS)),
        port=draw(st.sampled_from([80, 443, 8443])),
        path=draw(st.sampled_from(PATHS)),
        query=draw(st.sampled_from(QUERIES)),
        headers=draw(st.sampled_from(HEADERS)) + extra,
        body_length=len(body),
        body=body,
    )


def made(rule: dict[str, Any], name: str = "r") -> EgressRule:
    return EgressRule.model_validate({"name": name, **rule})


def decided(request: RequestFacts, *rules: dict[str, Any]) -> Decision:
    return decide(RuleSet(rules=tuple(made(rule, f"r{number}") for number, rule in enumerate(rules))), request)
