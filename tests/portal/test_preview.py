"""What would be sent for a call, without sending it, is what is sent."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.execution.fetcher import preview_fetch
from runtime.execution.hostcall import HostCallError
from runtime.portal.schema import Shape
from runtime.portal.tool_digest import tool_digest
from runtime.portal.upstreams import Upstreams
from sandboxes.call_facts import READS, Effect
from sandboxes.upstream import OpenApiUpstream
from tests.portal.parts import DirectSend, as_json, caller_of, context, served, stdio_notes, until, upstreams
from tests.portal.test_caller import plain

DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/accounts/{id}/transfers": {
            "post": {
                "operationId": "transfer",
                "summary": "Moves money.",
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
                    {"name": "note", "in": "query", "schema": {"type": "string"}},
                ],
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Transfer"}}},
                },
            }
        },
        "/transfers/{id}": {
            "delete": {
                "operationId": "undo",
                "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
            }
        },
    },
    "components": {"schemas": {"Transfer": {"type": "object", "properties": {"amount": {"type": "number"}}}}},
}
ARGUMENTS = {"id": 7, "note": "a b", "body": {"amount": 5}}


def config(document: Path, port: int) -> OpenApiUpstream:
    return OpenApiUpstream.model_validate(
        {
            "kind": "openapi",
            "document": str(document),
            "base_url": f"http://127.0.0.1:{port}",
            "headers": {"X-Team": "core"},
            "networks": ["127.0.0.1/32"],
            "inverses": {"transfer": {"tool": "undo", "arguments": {"id": "/result/id"}}},
        }
    )


async def ready(running: Upstreams, name: str) -> None:
    await until(running, lambda: running.states[name].phase == "ready")


async def test_the_preview_of_an_http_call_is_what_is_sent(tmp_path: Path) -> None:
    async def answer(_: Request) -> Response:
        return JSONResponse({"id": 1})

    path = tmp_path / "api.json"
    path.write_bytes(as_json(DOCUMENT))
    send = DirectSend()
    app = Starlette(routes=[Route("/{rest:path}", answer, methods=["POST"])])
    async with served(app) as port, upstreams({"ledger": config(path, port)}, send) as running:
        await ready(running, "ledger")
        caller = caller_of(running)
        preview = caller.preview("ledger.transfer", ARGUMENTS, context())
        assert send.sent == []
        await caller.call("ledger.transfer", ARGUMENTS, context())
    (sent, _), *_ = send.sent
    assert preview is not None
    literal = preview.request
    assert (literal.protocol, literal.method, literal.url) == ("http", "POST", sent.url)
    assert literal.url == f"http://127.0.0.1:{port}/accounts/7/transfers?note=a%20b"
    assert literal.headers == sent.headers
    assert ("x-team", "core") in literal.headers
    assert literal.body.encode() == sent.body
    assert preview.tool == "ledger.transfer"
    assert "Moves money" in preview.words
    assert preview.target == f"http://127.0.0.1:{port}"
    assert preview.effect == Effect(destructive=False, idempotent=False, open_world=False)
    assert preview.inverse is not None
    assert (preview.inverse.tool, preview.inverse.arguments) == ("ledger.undo", {"id": "/result/id"})


async def test_what_would_be_refused_has_no_preview(tmp_path: Path) -> None:
    path = tmp_path / "api.json"
    path.write_bytes(as_json(DOCUMENT))
    async with upstreams({"ledger": config(path, 1)}) as running:
        await ready(running, "ledger")
        caller = caller_of(running)
        for name, arguments, code in [
            ("ledger.transfer", {"id": "x", "body": {}}, "invalid_argument"),
            ("ledger.nothing", {}, "not_found"),
            ("nobody.there", {}, "not_found"),
        ]:
            with pytest.raises(HostCallError) as error:
                caller.preview(name, arguments, context())
            assert error.value.code == code
        with pytest.raises(HostCallError) as error:
            caller.preview("ledger.transfer", ARGUMENTS, context(allow=()))
        assert error.value.code == "denied"
        deleting = caller.preview("ledger.undo", {"id": 1}, context())
    assert deleting is not None
    assert deleting.effect.destructive


async def test_the_preview_of_an_mcp_call_has_the_servers_own_names() -> None:
    async with upstreams({"notes": stdio_notes(inverses={"add_note": {"tool": "delete_note"}})}) as running:
        await ready(running, "notes")
        caller = caller_of(running)
        adding = caller.preview("notes.add_note", {"text": "x"}, context())
        listing = caller.preview("notes.listNotes", {}, context())
        assert caller.preview("lockgate.emit", {}, context()) is None
    assert adding is not None
    assert listing is not None
    assert (adding.request.protocol, adding.request.method, adding.request.url) == ("mcp", "tools/call", "stdio:notes")
    assert json.loads(adding.request.body) == {"name": "add_note", "arguments": {"text": "x"}}
    assert adding.effect == Effect()
    assert adding.inverse is not None
    assert listing.effect == READS
    assert json.loads(listing.request.body)["name"] == "list-notes"


def test_the_preview_of_a_fetch() -> None:
    request = {"url": "https://api.example/x?y=1", "method": "put", "headers": [["x-a", "1"]], "body": "é"}
    preview = preview_fetch(request, context())
    assert (preview.tool, preview.schema, preview.target) == ("", "", "https://api.example")
    assert (preview.request.method, preview.request.url) == ("PUT", "https://api.example/x?y=1")
    assert (preview.request.body, preview.request.base64) == ("é", False)
    assert preview.effect == Effect(destructive=False, idempotent=True, open_world=True)
    binary = preview_fetch({"url": "https://a.example", "body": "/w==", "body_base64": True}, context())
    assert (binary.request.body, binary.request.base64, binary.effect.read_only) == ("/w==", True, True)


async def test_the_digest_of_a_tool_is_another_when_anything_it_takes_is(tmp_path: Path) -> None:
    path = tmp_path / "api.json"
    path.write_bytes(as_json(DOCUMENT))
    async with upstreams({"ledger": config(path, 1)}) as running:
        await ready(running, "ledger")
        tool = running.catalog.tools["ledger.transfer"]
    root: Any = json.loads(json.dumps(DOCUMENT))
    same = replace(tool, input=Shape(schema=tool.input.schema, root=root))
    assert tool_digest(same) == tool_digest(tool)
    root = json.loads(json.dumps(DOCUMENT))
    root["components"]["schemas"]["Transfer"]["properties"]["amount"]["type"] = "string"
    behind = replace(tool, input=Shape(schema=tool.input.schema, root=root))
    changed = [behind, replace(tool, description="other"), replace(tool, read_only=True), replace(tool, binding=None)]
    assert len({tool_digest(each) for each in [tool, *changed]}) == 5


def test_a_circular_schema_has_a_digest() -> None:
    root: dict[str, Any] = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"items": {"$ref": "#/$defs/a"}}}}
    shape = Shape(schema={"$ref": "#/$defs/a", "x": {"$ref": "#/nowhere"}, "y": "\ud800"}, root=root)
    assert tool_digest(replace(plain("up", "tool"), input=shape)).startswith("sha256:")
