"""What MCP tools answer, as values."""

from typing import Any

import mcp_types as t
import pytest
from mcp.shared.exceptions import MCPError

from runtime.execution.hostcall import HostCallError
from runtime.portal.mcp_content import protocol_failure, read_result
from runtime.portal.mcp_tools import build_tools
from runtime.portal.signature import signature
from runtime.portal.tool import Tool


def tool(**more: Any) -> Tool:
    tools, _ = build_tools("up", [t.Tool(name="act", input_schema={"type": "object"}, **more)])
    return tools[0]


def text(value: str) -> t.TextContent:
    return t.TextContent(text=value)


IMAGE = t.ImageContent(data="AA==", mime_type="image/png")
IMAGE_JSON = {"type": "image", "data": "AA==", "mimeType": "image/png"}
LINK = t.ResourceLink(uri="file:///a", name="a")
AUDIO = t.AudioContent(data="UklGRg==", mime_type="audio/wav")
AUDIO_JSON = {"type": "audio", "data": "UklGRg==", "mimeType": "audio/wav"}
BLOB = t.EmbeddedResource(
    resource=t.BlobResourceContents(uri="file:///b", mime_type="application/pdf", blob="JVBERg==")
)
BLOB_JSON = {"uri": "file:///b", "mimeType": "application/pdf", "blob": "JVBERg=="}
EMBEDDED = t.EmbeddedResource(resource=t.TextResourceContents(uri="file:///a", text="x"))


@pytest.mark.parametrize(
    ("content", "structured", "value"),
    [
        ([], None, None),
        ([text("hi")], None, "hi"),
        ([text('{"a": 1}')], None, {"a": 1}),
        ([text(" [1, 2]\n")], None, [1, 2]),
        ([text("007")], None, "007"),
        ([text("true")], None, "true"),
        ([text("{not json}")], None, "{not json}"),
        ([text("[NaN]")], None, "[NaN]"),
        ([text("[" * 200_000 + "]" * 200_000)], None, "[" * 200_000 + "]" * 200_000),
        ([text("a"), text('{"b": 2}')], None, ["a", {"b": 2}]),
        ([IMAGE], None, IMAGE_JSON),
        ([text("a"), IMAGE], None, ["a", IMAGE_JSON]),
        ([AUDIO], None, AUDIO_JSON),
        ([AUDIO, BLOB], None, [AUDIO_JSON, {"type": "resource", "resource": BLOB_JSON}]),
        ([LINK], None, {"type": "resource_link", "uri": "file:///a", "name": "a"}),
        ([EMBEDDED], None, {"type": "resource", "resource": {"uri": "file:///a", "text": "x"}}),
        ([text('{"a": 1}')], {"a": 1}, {"a": 1}),
        ([text('{"a": 1}'), IMAGE], {"a": 1}, {"a": 1, "_content": [IMAGE_JSON]}),
        ([text("x"), IMAGE], {"a": 1}, {"a": 1, "_content": ["x", IMAGE_JSON]}),
        ([text("one found")], {"a": 1}, {"a": 1, "_content": ["one found"]}),
        ([text("x")], {"result": "x"}, {"result": "x"}),
        ([text("3")], {"result": 3}, {"result": 3}),
        ([text("true")], {"result": True}, {"result": True}),
        ([text('{"b": 1}'), text('{"b": 2}')], {"result": [{"b": 1}, {"b": 2}]}, {"result": [{"b": 1}, {"b": 2}]}),
        ([text("x"), text("y")], {"result": "x"}, {"result": "x", "_content": ["x", "y"]}),
        ([IMAGE], [1], {"structured": [1], "content": [IMAGE_JSON]}),
    ],
)
def test_values(content: list[t.ContentBlock], structured: Any, value: Any) -> None:
    assert read_result(tool(), t.CallToolResult(content=content, structured_content=structured)) == value


@pytest.mark.parametrize(
    ("content", "structured", "said", "details"),
    [
        ([text("no such note")], None, "up.act: no such note", "no such note"),
        ([text('{"code": 5}')], None, 'up.act: {"code": 5}', {"code": 5}),
        ([text("bad")], {"code": 5}, "up.act: bad", {"code": 5}),
        ([], None, "up.act: the tool failed without saying why", None),
        ([text("a"), IMAGE], None, "up.act: a", ["a", IMAGE_JSON]),
    ],
)
def test_errors(content: list[t.ContentBlock], structured: Any, said: str, details: Any) -> None:
    with pytest.raises(HostCallError) as error:
        read_result(tool(), t.CallToolResult(content=content, structured_content=structured, is_error=True))
    assert (error.value.code, error.value.message, error.value.details) == ("upstream_error", said, details)


def test_a_long_error_is_cut() -> None:
    with pytest.raises(HostCallError) as error:
        read_result(tool(), t.CallToolResult(content=[text("x" * 100_000)], is_error=True))
    assert len(error.value.message) < 600
    assert len(error.value.details) < 9_000


@pytest.mark.parametrize(
    ("code", "reads", "told", "retryable"),
    [
        (t.CONNECTION_CLOSED, False, "unavailable", False),
        (t.CONNECTION_CLOSED, True, "unavailable", True),
        (t.REQUEST_TIMEOUT, True, "timeout", True),
        (t.INVALID_PARAMS, False, "invalid_argument", False),
        (t.METHOD_NOT_FOUND, False, "not_found", False),
        (t.INTERNAL_ERROR, False, "upstream_error", False),
        (12345, False, "upstream_error", False),
    ],
)
def test_protocol_errors(code: int, reads: bool, told: str, retryable: bool) -> None:
    made = tool(annotations=t.ToolAnnotations(read_only_hint=reads))
    error = protocol_failure(made, MCPError(code, "oops", {"x": 1}))
    assert (error.code, error.retryable, error.details) == (told, retryable, {"x": 1})
    assert ("not known" in error.message) == (code == t.CONNECTION_CLOSED and not reads)


def listed(name: str, schema: dict[str, Any] | None = None, **more: Any) -> t.Tool:
    return t.Tool(name=name, input_schema=schema if schema is not None else {"type": "object"}, **more)


def test_what_a_server_lists_is_not_trusted() -> None:
    deep: dict[str, Any] = {}
    for _ in range(3000):
        deep = {"properties": {"x": deep}}
    tools, skipped = build_tools(
        "up",
        [
            listed("then"),
            listed("a b"),
            listed("twice"),
            listed("twice"),
            listed(" "),
            listed("huge", {"type": "object", "description": "x" * 300_000}),
            listed("deep", deep),
            listed("__proto__", {"properties": {"__proto__": {}, "from": {"type": "string"}, "ok": {}}}),
            listed("lies", {"type": 5, "properties": [1], "required": "x"}, description="d" * 100_000),
        ],
    )
    assert [tool.name for tool in tools] == ["then_", "aB", "proto", "lies"]
    assert {one.original: one.reason for one in skipped} == {
        "twice": "the server lists two tools of this name",
        " ": "it has no name",
        "huge": "its schema has more than 262144 characters",
        "deep": "its schema is nested too deeply",
    }
    assert tools[2].renamed == {"proto": "__proto__", "from_": "from"}
    assert list(tools[2].input.schema["properties"]) == ["proto", "from_", "ok"]
    assert len(tools[3].description) <= 8192
    assert all(len(signature(tool)) < 600 for tool in tools)


def test_too_many_tools() -> None:
    tools, skipped = build_tools("up", [listed(f"t{n}") for n in range(5_010)])
    assert (len(tools), len(skipped)) == (5_000, 10)
