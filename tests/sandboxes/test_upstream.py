"""Upstreams as an operator writes them, and what may leave for each."""

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from sandboxes.upstream import McpHttpUpstream, McpStdioUpstream, OpenApiUpstream, UpstreamConfig, check_upstream_name

READ: TypeAdapter[Any] = TypeAdapter(UpstreamConfig)
SECRET = {"secret": "s", "as": "bearer"}


@pytest.mark.parametrize(
    ("written", "model"),
    [
        ({"kind": "openapi", "document": "api.json", "base_url": "https://a.com"}, OpenApiUpstream),
        ({"kind": "mcp", "command": ["notes"]}, McpStdioUpstream),
        ({"kind": "mcp", "url": "https://a.com/mcp", "auth": SECRET}, McpHttpUpstream),
    ],
)
def test_kinds(written: dict[str, Any], model: type) -> None:
    read = READ.validate_python(written)
    assert type(read) is model
    assert READ.validate_json(READ.dump_json(read, by_alias=True)) == read


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "write kind: openapi"),
        ({"kind": "grpc"}, "write kind: openapi"),
        ({"kind": "mcp"}, "command"),
        ({"kind": "mcp", "command": []}, "at least 1"),
        ({"kind": "mcp", "command": ["a"], "url": "https://a"}, "command"),
        ({"kind": "openapi", "document": "a", "auth": SECRET}, "auth, security and servers need base_url"),
        ({"kind": "openapi", "document": "a", "base_url": "ftp://a"}, "not an http or https URL"),
        ({"kind": "openapi", "document": "a", "base_url": "https://u:p@a.com"}, "holds no credentials"),
        ({"kind": "openapi", "document": "a", "base_url": "https://a.com/?x=1"}, "has a query"),
        (
            {"kind": "openapi", "document": "a", "base_url": "https://a", "headers": {"Authorization": "x"}},
            "under auth",
        ),
        ({"kind": "mcp", "url": "https://a", "headers": {"x": "a\r\nb"}}, "one printable line"),
        ({"kind": "mcp", "command": ["a"], "env": {"A-B": "x"}}, "not an environment variable"),
        ({"kind": "openapi", "document": "a", "extra": 1}, "extra"),
    ],
)
def test_refused(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        READ.validate_python(written)


@pytest.mark.parametrize("name", ["github", "my_api2", "a"])
def test_names(name: str) -> None:
    assert check_upstream_name(name) == name


@pytest.mark.parametrize(
    "name", ["", "Git", "my-api", "2x", "then", "class", "constructor", "__proto__", "é", "a" * 33, "lockgate_x", "a.b"]
)
def test_names_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"an upstream|reserved word"):
        check_upstream_name(name)


def test_what_may_leave() -> None:
    api = READ.validate_python(
        {"kind": "openapi", "document": "https://docs.a.com/api.json", "base_url": "https://a.com/v1",
         "servers": ["https://up.a.com"], "auth": SECRET}
    )  # fmt: skip
    rules = {rule.name: rule for rule in api.rule_set("my_api").rules}
    assert list(rules) == ["upstream-my_api", "upstream-my_api-2", "upstream-my_api-document"]
    assert rules["upstream-my_api"].paths == ("/v1/**", "/v1")
    assert rules["upstream-my_api"].inject is not None
    assert rules["upstream-my_api-document"].methods == ("GET",)
    assert rules["upstream-my_api-document"].inject is None
    assert READ.validate_python({"kind": "mcp", "command": ["x"]}).rule_set("n").rules == ()
    web = READ.validate_python({"kind": "mcp", "url": "http://127.0.0.1:9/mcp", "networks": ["127.0.0.1/32"]})
    assert web.rule_set("n").rules[0].paths == ("/mcp/**", "/mcp")
    assert web.rule_set("n").digest() != web.rule_set("m").digest()
