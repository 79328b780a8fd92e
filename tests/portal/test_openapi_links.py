"""Links that a document declares: which tools an answer leads to, and with which arguments."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runtime.portal.http_call import HttpReply
from runtime.portal.openapi import load_openapi
from runtime.portal.openapi_links import Exchange, next_by_link, related_calls
from runtime.portal.tool import Tool
from tests.portal.parts import as_json, caller_of, context, served, upstreams
from tests.portal.test_openapi_service import config

ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}
LINKS: dict[str, Any] = {
    "Owner": {"operationId": "getUser", "parameters": {"id": "$response.body#/owner/id"}},
    "OwnerByPlace": {"operationRef": "#/paths/~1users~1%7Bid%7D/get",
                     "parameters": {"path.id": "$response.body#/owner/id"}},
    "Comment": {
        "operationId": "addComment",
        "parameters": {"id": "$request.path.id"},
        "requestBody": {"text": "seen"},
    },
    "Renamed": {"operationId": "addComment", "parameters": {"id": "$request.path.id"},
                "requestBody": "for {$response.body#/title} of {$request.path.id}: {$method} {$statusCode}"},
    "Traced": {"operationId": "getUser", "parameters": {"id": 1, "x-trace": "$response.header.X-Trace"}},
    "SameTrace": {"operationId": "getUser", "parameters": {"id": 1, "header.x-trace": "$request.header.X-TRACE"}},
    "nextPage": {"operationId": "getIssue", "parameters": {"after": "$response.body#/cursor"}},
    "Unknown operation": {"operationId": "nope"},
    "Unknown parameter": {"operationId": "getUser", "parameters": {"nope": 1}},
    "Far operation": {"operationRef": "https://elsewhere.example/openapi.json#/paths/~1users/get"},
    "Another server": {"operationId": "getUser", "parameters": {"id": 1}, "server": {"url": "https://evil.example"}},
    "No body": {"operationId": "getUser", "parameters": {"id": 1}, "requestBody": {}},
    "An address": {"operationId": "getUser", "parameters": {"id": 1, "x-trace": "$url"}},
}  # fmt: skip
TRACE = {"name": "x-trace", "in": "header", "schema": {"type": "string"}}
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/issues/{id}": {"parameters": [ID], "get": {
            "operationId": "getIssue", "description": "One issue.",
            "parameters": [TRACE, {"name": "after", "in": "query", "schema": {"type": "string"}}],
            "responses": {
                "2XX": {"links": LINKS},
                "200": {"$ref": "#/components/responses/Found"},
                "404": {"links": {"All": {"operationId": "listIssues"}}},
                "default": {"links": {"Any": {"operationId": "listIssues"}}},
            }}},
        "/issues": {"get": {"operationId": "listIssues"}},
        "/issues/{id}/comments": {"parameters": [ID], "post": {
            "operationId": "addComment", "requestBody": {"content": {"application/json": {}}}}},
        "/users/{id}": {"parameters": [ID, TRACE], "get": {"operationId": "getUser"}},
    },
    "components": {
        "responses": {"Found": {"links": {"Exact": {"$ref": "#/components/links/Exact"}}}},
        "links": {"Exact": {"operationId": "getUser", "parameters": {"id": "$response.body#/owner/id"}}},
    },
}  # fmt: skip
ISSUE = next(tool for tool in load_openapi("api", as_json(DOCUMENT), "api").tools if tool.name == "getIssue")
ANSWER = {"title": "Broken", "owner": {"id": "7"}, "cursor": None}


def related(value: Any = None, arguments: dict[str, Any] | None = None, tool: Tool = ISSUE, **reply: Any) -> Any:
    answer = HttpReply(**{"status": 200, "headers": (), "body": b"", **reply})
    return related_calls(Exchange(tool=tool, arguments=arguments or {"id": 5}, reply=answer, value=value))


@pytest.mark.parametrize(
    ("name", "tool", "arguments"),
    [
        ("Owner", "api.getUser", {"id": 7}),
        ("OwnerByPlace", "api.getUser", {"id": 7}),
        ("Exact", "api.getUser", {"id": 7}),
        ("Comment", "api.addComment", {"id": 5, "body": {"text": "seen"}}),
        ("Renamed", "api.addComment", {"id": 5, "body": "for Broken of 5: GET 200"}),
        ("Traced", "api.getUser", {"id": 1, "x_trace": "t1"}),
        ("SameTrace", "api.getUser", {"id": 1, "x_trace": "t0"}),
        ("Any", "api.listIssues", {}),
    ],
)
def test_a_link_names_a_tool_and_its_arguments(name: str, tool: str, arguments: dict[str, Any]) -> None:
    calls = related(ANSWER, {"id": 5, "x_trace": "t0"}, headers=(("x-trace", "t1"),))
    assert calls[name] == {"tool": tool, "arguments": arguments}


def test_what_a_link_cannot_tell_leaves_it_out() -> None:
    assert set(related(ANSWER)) == {"Owner", "OwnerByPlace", "Exact", "Comment", "Renamed", "Any"}
    assert set(related({"owner": {"id": "seven"}})) == {"Comment", "Any"}
    assert set(related("text")) == {"Comment", "Any"}


def test_the_links_of_the_answers_own_status() -> None:
    assert set(related(ANSWER, status=404)) == {"All", "Any"}
    assert set(related(ANSWER, status=201)) == set(related(ANSWER)) - {"Exact"}


def test_a_link_to_itself_that_is_called_next_is_the_next_page() -> None:
    arguments = {"id": 5, "after": "a"}
    assert next_by_link(ISSUE, arguments, related({"cursor": "b"}, arguments)) == {"id": 5, "after": "b"}
    assert next_by_link(ISSUE, arguments, related({"cursor": "a"}, arguments)) is None
    assert next_by_link(ISSUE, arguments, related({"cursor": ""}, arguments)) is None


def test_the_description_says_where_a_tool_leads() -> None:
    said = ISSUE.description
    assert said.startswith("One issue.\n\nIts .response(...).related leads to: Owner (api.getUser), ")
    for never in ("Unknown", "Far", "Another server", "No body", "evil"):
        assert never not in said


texts = st.sampled_from(
    ["$response.body", "$response.body#/a", "$request.path.id", "$request.body", "$x", "{$url}", "{$"]
)
parts = st.recursive(
    st.none() | st.integers() | texts | st.sampled_from(["getUser", "listIssues", "#/paths/~1issues/get"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["operationId", "operationRef", "parameters", "requestBody", "id"]), inner)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["a", "next"]), parts), parts)
def test_any_links_leave_the_operation_as_it_is(links: dict[str, Any], value: Any) -> None:
    paths = DOCUMENT["paths"]
    document = {"openapi": "3.1.0", "paths": {**paths, "/x": {"get": {"responses": {"200": {"links": links}}}}}}
    loaded = load_openapi("api", as_json(document), "api")
    assert not loaded.skipped
    tool = next(each for each in loaded.tools if each.original == "get /x")
    for call in related(value, {"id": 1}, tool).values():
        assert call["tool"] in {"api.getUser", "api.listIssues", "api.getIssue", "api.addComment"}


async def test_a_program_has_related_calls_and_pages_by_link(tmp_path: Path) -> None:
    async def issue(request: Request) -> Response:
        after = request.query_params.get("after")
        return JSONResponse({"owner": {"id": 7}, "title": "t", "cursor": None if after else "b"})

    document = tmp_path / "api.json"
    document.write_text(json.dumps(DOCUMENT))
    async with served(Starlette(routes=[Route("/issues/5", issue)])) as port:
        async with upstreams({"api": config(document, port)}) as running:
            await running.settled(20)
            caller = caller_of(running)
            first = json.loads((await caller.call("api.getIssue.response", {"id": 5}, context())).payload)
            last = json.loads((await caller.call("api.getIssue.response", first["next"], context())).payload)
    assert first["related"]["Owner"] == {"tool": "api.getUser", "arguments": {"id": 7}}
    assert first["next"] == {"id": 5, "after": "b"}
    assert last["next"] is None
