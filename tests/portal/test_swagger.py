"""Swagger 2.0 documents: the same operations as their OpenAPI 3 counterparts."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.portal.openapi import OpenApiTools, load_openapi
from runtime.portal.openapi_call import build_request
from runtime.portal.openapi_document import OpenApiProblem, parse_openapi
from runtime.portal.signature import signature
from tests.portal.parts import as_json

DOCUMENT: dict[str, Any] = {
    "swagger": "2.0",
    "info": {"title": "Pets", "version": "1"},
    "host": "pets.example",
    "basePath": "/v2/",
    "schemes": ["http", "https"],
    "consumes": ["application/json"],
    "produces": ["application/json"],
    "securityDefinitions": {
        "key": {"type": "apiKey", "name": "x-key", "in": "header"},
        "user": {"type": "basic"},
        "app": {"type": "oauth2", "flow": "application", "tokenUrl": "https://pets.example/t", "scopes": {"read": "r"}},
    },
    "security": [{"key": []}],
    "parameters": {
        "limit": {"name": "limit", "in": "query", "type": "integer", "maximum": 100},
        "pet": {"name": "pet", "in": "body", "required": True, "schema": {"$ref": "#/definitions/Pet"}},
    },
    "responses": {"Pets": {"description": "ok", "schema": {"type": "array", "items": {"$ref": "#/definitions/Pet"}}}},
    "definitions": {
        "Pet": {
            "type": "object",
            "required": ["name"],
            "properties": {"name": {"type": "string"}, "tag": {"type": "string", "x-nullable": True}},
        }
    },
    "paths": {
        "/pets": {
            "parameters": [{"$ref": "#/parameters/limit"}],
            "get": {
                "operationId": "listPets",
                "parameters": [
                    {"name": "tags", "in": "query", "type": "array", "items": {"type": "string"},
                     "collectionFormat": "multi"},
                    {"name": "ids", "in": "query", "type": "array", "items": {"type": "integer"},
                     "collectionFormat": "pipes"},
                ],
                "responses": {"200": {"$ref": "#/responses/Pets"}},
            },
            "post": {
                "operationId": "addPet",
                "parameters": [{"$ref": "#/parameters/pet"}],
                "responses": {"201": {"description": "made", "schema": {"$ref": "#/definitions/Pet"}}},
            },
        },
        "/pets/{id}/photo": {
            "post": {
                "operationId": "addPhoto",
                "consumes": ["multipart/form-data"],
                "parameters": [
                    {"name": "id", "in": "path", "required": True, "type": "string"},
                    {"name": "file", "in": "formData", "required": True, "type": "file"},
                    {"name": "note", "in": "formData", "type": "string", "description": "For people"},
                ],
            },
        },
        "/login": {
            "post": {
                "operationId": "login",
                "parameters": [
                    {"name": "user", "in": "formData", "required": True, "type": "string"},
                    {"name": "roles", "in": "formData", "type": "array", "items": {"type": "string"}},
                ],
            },
        },
        "/tabs": {
            "get": {"parameters": [{"name": "a", "in": "query", "type": "array", "collectionFormat": "tsv"}]},
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def pets() -> OpenApiTools:
    return load_openapi("pets", as_json(DOCUMENT), "pets")


def test_the_tools_and_their_signatures(pets: OpenApiTools) -> None:
    assert [signature(tool) for tool in pets.tools] == [
        "codemode.pets.listPets({limit?: number, tags?: string[], ids?: number[]}): Promise<Pet[]>",
        "codemode.pets.addPet({body: {name: string, tag?: string | null}, limit?: number}): Promise<Pet>",
        "codemode.pets.addPhoto({id: string, body: {file: string, note?: string}}): Promise<unknown>",
        "codemode.pets.login({body: {user: string, roles?: string[]}}): Promise<unknown>",
    ]
    assert pets.servers == ("https://pets.example/v2", "http://pets.example/v2")
    assert pets.schemes == ("key", "user", "app")
    assert pets.tools[0].binding.security == (("key",),)


def test_what_cannot_be_converted_is_left_out_with_the_reason(pets: OpenApiTools) -> None:
    assert [(one.original, one.reason) for one in pets.skipped] == [
        ("GET /tabs", 'parameter "a" has the style "tsv", which query parameters do not have')
    ]


@pytest.mark.parametrize(
    ("name", "arguments", "url", "body"),
    [
        ("listPets", {"tags": ["a", "b"], "ids": [1, 2], "limit": 5}, "/pets?limit=5&tags=a&tags=b&ids=1%7C2", None),
        ("addPet", {"body": {"name": "rex"}}, "/pets", b'{"name":"rex"}'),
        ("login", {"body": {"user": "a b", "roles": ["x", "y"]}}, "/login", b"user=a+b&roles=x,y"),
    ],
)
def test_what_is_sent(pets: OpenApiTools, name: str, arguments: Any, url: str, body: bytes | None) -> None:
    tool = next(each for each in pets.tools if each.name == name)
    request = build_request(tool, arguments, base_url="https://h")
    assert request.url == "https://h" + url
    assert request.body == body


def test_a_file_goes_as_multipart(pets: OpenApiTools) -> None:
    tool = next(each for each in pets.tools if each.name == "addPhoto")
    request = build_request(tool, {"id": "1", "body": {"file": {"base64": "aGk="}, "note": "n"}}, base_url="https://h")
    assert dict(request.headers)["content-type"].startswith("multipart/form-data; boundary=")
    assert b'name="file"; filename="file"\r\nContent-Type: application/octet-stream\r\n\r\nhi\r\n' in (
        request.body or b""
    )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["parameters", "get", "in", "name", "schema", "type", "body", "formData", "responses", "$ref",
                         "#/parameters/a", "definitions", "properties", "items", "consumes", "x"]), inner, max_size=4),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(list(DOCUMENT)), JSON))
def test_any_swagger_document_is_converted_or_refused(parts: dict[str, Any]) -> None:
    try:
        parsed = parse_openapi(as_json({**parts, "swagger": "2.0"}), "api")
    except OpenApiProblem as problem:
        assert str(problem).startswith("api ")
    else:
        load_openapi("api", as_json(parsed), "api")
