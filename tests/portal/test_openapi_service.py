"""OpenAPI upstreams over real HTTP: whole responses, secrets by scheme, documents that change, forms."""

import asyncio
import json
import logging
import stat
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.portal.document_cache import DocumentCache
from runtime.portal.openapi import OpenApiProblem, load_openapi
from runtime.portal.openapi_call import build_request
from runtime.portal.openapi_servers import place_tools, scheme_of
from sandboxes.upstream import OpenApiUpstream
from tests.portal.parts import DirectSend, as_json, caller_of, context, served, until, upstreams

PAGED = {
    "openapi": "3.1.0",
    "paths": {"/items": {"get": {"operationId": "list", "parameters": [
        {"name": "page", "in": "query", "schema": {"type": "integer"}}]}}},
}  # fmt: skip
SCHEMES = {"key": {"type": "apiKey", "in": "header", "name": "x-key"}, "user": {"type": "http", "scheme": "basic"}}
SECURED = {
    "openapi": "3.1.0",
    "security": [{"key": []}],
    "paths": {
        "/usual": {"get": {"operationId": "usual"}},
        "/admin": {"get": {"operationId": "admin", "security": [{"user": []}]}},
        "/either": {"get": {"operationId": "either", "security": [{"other": []}, {"user": []}]}},
        "/open": {"get": {"operationId": "open", "security": []}},
        "/both": {"get": {"operationId": "both", "security": [{"user": [], "key": []}]}},
    },
    "components": {"securitySchemes": SCHEMES},
}
BY_SCHEME = {
    "user": {"secret": "admin", "as": "basic", "username": "root"},
    "key": {"secret": "key", "as": "header", "name": "x-key"},
}


def config(document: Any, port: int = 1, **more: Any) -> OpenApiUpstream:
    return OpenApiUpstream.model_validate({
        "kind": "openapi", "document": str(document), "base_url": f"http://127.0.0.1:{port}",
        "networks": ["127.0.0.1/32"], **more,
    })  # fmt: skip


async def test_a_whole_response_tells_the_next_page(tmp_path: Path) -> None:
    async def items(request: Request) -> Response:
        page = int(request.query_params.get("page", "1"))
        link = {"link": f'<{request.url.replace(query=f"page={page + 1}")}>; rel="next"'} if page < 3 else {}
        return JSONResponse([page], headers={"x-total": "3", "set-cookie": "a=b", **link})

    document = tmp_path / "api.json"
    document.write_text(json.dumps(PAGED))
    async with served(Starlette(routes=[Route("/items", items)])) as port:
        async with upstreams({"api": config(document, port)}) as running:
            await running.settled(20)
            caller = caller_of(running)
            assert caller.read_only("api.list.response")
            first = json.loads((await caller.call("api.list.response", {}, context())).payload)
            last = json.loads((await caller.call("api.list.response", {"page": 3}, context())).payload)
            plain = json.loads((await caller.call("api.list", {}, context())).payload)
    assert plain == first["data"] == [1]
    assert (first["status"], first["next"]) == (200, {"page": 2})
    assert first["links"]["next"].endswith("/items?page=2")
    assert first["headers"]["x-total"] == "3"
    assert "set-cookie" not in first["headers"]
    assert (last["next"], last["links"], last["data"]) == (None, {}, [3])


@pytest.mark.parametrize(
    ("name", "scheme"), [("usual", "key"), ("admin", "user"), ("either", "user"), ("open", "")]
)  # fmt: skip
def test_an_operation_carries_the_secret_of_its_scheme(name: str, scheme: str) -> None:
    settings = config("api.json", security=BY_SCHEME)
    placed = place_tools(settings, load_openapi("api", as_json(SECURED), "api"))
    assert scheme_of(settings, next(tool for tool in placed.tools if tool.name == name)) == scheme
    reasons = {one.original: one.reason for one in placed.skipped}
    said = 'it wants user and key at once; list their secrets under security["user + key"]'
    assert reasons == {"GET /both": said}


@pytest.mark.parametrize("key", ["user + key", "key + user"])
def test_an_operation_carries_the_secrets_of_two_schemes_that_are_listed_together(key: str) -> None:
    settings = config("api.json", security={**BY_SCHEME, key: list(BY_SCHEME.values())})
    placed = place_tools(settings, load_openapi("api", as_json(SECURED), "api"))
    both = next(tool for tool in placed.tools if tool.binding.path == "/both")
    (rule,) = settings.rule_sets("api")[scheme_of(settings, both)].rules
    assert [injection.secret for injection in rule.injections] == ["admin", "key"]
    assert placed.skipped == ()


def test_a_scheme_of_two_that_the_document_lacks_is_named() -> None:
    settings = config("api.json", security={"user + nobody": list(BY_SCHEME.values())})
    with pytest.raises(OpenApiProblem, match='security names "nobody"'):
        place_tools(settings, load_openapi("api", as_json(SECURED), "api"))


def test_each_scheme_has_a_rule_set_of_its_own() -> None:
    settings = config("api.json", security=BY_SCHEME, auth={"secret": "usual", "as": "bearer"})
    sets = settings.rule_sets("api")
    carried = {name: [each.secret for rule in rules.rules for each in rule.injections] for name, rules in sets.items()}
    assert carried == {"": ["usual"], "user": ["admin"], "key": ["key"]}
    assert len({rules.digest() for rules in sets.values()}) == 3


async def test_calls_go_out_under_the_rule_set_of_their_scheme(tmp_path: Path) -> None:
    document = tmp_path / "api.json"
    document.write_text(json.dumps(SECURED))
    send = DirectSend()
    async with served(Starlette(routes=[Route("/{path:path}", lambda _: JSONResponse({}))])) as port:
        settings = config(document, port, security=BY_SCHEME)
        async with upstreams({"api": settings}, send) as running:
            await running.settled(20)
            for name in ("usual", "admin", "open"):
                await caller_of(running).call(f"api.{name}", {}, context())
    digests = [settings.rule_sets("api")[scheme].digest() for scheme in ("key", "user", "")]
    assert [bounds.token for _, bounds in send.sent] == [f"token for {digest}" for digest in digests]


def test_a_scheme_that_the_document_does_not_have() -> None:
    settings = config("api.json", security={"kee": {"secret": "s", "as": "bearer"}})
    with pytest.raises(OpenApiProblem, match='security names "kee", which the document does not declare; it has key'):
        place_tools(settings, load_openapi("api", as_json(SECURED), "api"))


async def test_a_document_by_url_is_refreshed_and_the_difference_logged(caplog: pytest.LogCaptureFixture) -> None:
    paths = {"/a": {"get": {"operationId": "a"}}}
    asked = 0

    async def document(_: Request) -> Response:
        nonlocal asked
        asked += 1
        return JSONResponse({"openapi": "3.1.0", "paths": paths})

    caplog.set_level(logging.INFO, "runtime.portal.upstreams")
    async with served(Starlette(routes=[Route("/api.json", document)])) as port:
        settings = config(f"http://127.0.0.1:{port}/api.json", port).model_copy(update={"refresh_s": 0.02})
        async with upstreams({"api": settings}) as running:
            await until(running, lambda: "api.a" in running.catalog.tools)
            generation = running.catalog.generation
            async with asyncio.timeout(20):
                while asked < 4:
                    await asyncio.sleep(0.01)
            assert running.catalog.generation == generation
            paths["/b"] = {"get": {"operationId": "b"}}
            await until(running, lambda: "api.b" in running.catalog.tools)
            async with asyncio.timeout(20):
                while "has other tools" not in caplog.text:
                    await asyncio.sleep(0.01)
    assert "upstream api has other tools: 1 added (b)" in caplog.text


async def test_yaml_is_read_once_and_then_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    document = tmp_path / "api.yaml"
    document.write_text("openapi: 3.1.0\npaths: {/a: {get: {operationId: a}}}")
    cache = DocumentCache(tmp_path / "documents")
    for _ in range(2):
        async with upstreams({"api": config(document)}, cache=cache) as running:
            assert await running.settled(20)
            assert "api.a" in running.catalog.tools
        monkeypatch.setattr("runtime.portal.openapi_upstream.parse_openapi", None)
    (entry,) = (tmp_path / "documents").iterdir()
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600


FORM = {
    "content": {
        "application/x-www-form-urlencoded": {
            "schema": {"type": "object"},
            "encoding": {
                "address": {"style": "deepObject", "explode": True},
                "ids": {"explode": False},
                "expand": {"style": "deepObject", "explode": True},
                "tags": {"style": "pipeDelimited", "explode": False},
            },
        }
    }
}


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ({"name": "a b", "on": True}, b"name=a+b&on=true"),
        ({"address": {"city": "X Y", "geo": {"lat": 1}}}, b"address[city]=X%20Y&address[geo][lat]=1"),
        ({"ids": [1, 2], "tags": ["x", "y"]}, b"ids=1,2&tags=x%7Cy"),
        ({"expand": ["data.customer", "z"]}, b"expand[]=data.customer&expand[]=z"),
        ({"plain": [1, 2], "object": {"a": 1}, "none": None}, b"plain=1&plain=2&object=%7B%22a%22%3A1%7D"),
    ],
)
def test_a_form_is_written_as_the_document_says(body: dict[str, Any], sent: bytes) -> None:
    document = {"openapi": "3.0.0", "paths": {"/a": {"post": {"operationId": "a", "requestBody": FORM}}}}
    (tool,) = load_openapi("api", as_json(document), "api").tools
    assert build_request(tool, {"body": body}, base_url="https://h").body == sent


def test_a_multipart_field_has_the_media_type_that_the_document_says() -> None:
    content = {"multipart/form-data": {"schema": {"type": "object", "properties": {"meta": {}, "photo": {}}},
                                       "encoding": {"meta": {"contentType": "application/ld+json"},
                                                    "photo": {"contentType": "image/png, image/*"}}}}  # fmt: skip
    document = {
        "openapi": "3.0.0",
        "paths": {"/a": {"post": {"operationId": "a", "requestBody": {"content": content}}}},
    }
    (tool,) = load_openapi("api", as_json(document), "api").tools
    request = build_request(tool, {"body": {"meta": {"a": 1}, "photo": {"base64": "aGk="}}}, base_url="https://h")
    assert b"Content-Type: application/ld+json\r\n\r\n{" in (request.body or b"")
    assert b"Content-Type: image/png\r\n\r\nhi" in (request.body or b"")


def test_a_form_that_cannot_be_written_is_left_out() -> None:
    content = {"application/x-www-form-urlencoded": {"encoding": {"a": {"style": "matrix"}}}}
    document = {
        "openapi": "3.0.0",
        "paths": {"/a": {"post": {"operationId": "a", "requestBody": {"content": content}}}},
    }
    loaded = load_openapi("api", as_json(document), "api")
    assert loaded.skipped[0].reason == 'field "a" of its body has the style "matrix", which forms do not have'
