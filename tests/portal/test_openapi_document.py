"""What is an OpenAPI document, and what the others are told."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.portal.openapi import load_openapi
from runtime.portal.openapi_document import OpenApiProblem, parse_openapi, server_urls


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "api is empty"),
        (b"\xff\xfe", "api is not UTF-8: byte 0"),
        (b"{", "api is not valid JSON: Expecting property name enclosed in double quotes at line 1, column 2"),
        (b"[]", "api is not an OpenAPI document: it holds an array, not an object"),
        (b"hello", "api is not an OpenAPI document: it holds text, not an object"),
        (b"a: [1", "api is neither JSON nor YAML: did not find expected ',' or ']'"),
        (b"{}", 'api is not an OpenAPI document: it has no "openapi" version at its top'),
        (b'{"swagger": "1.2"}', "api is a Swagger 1.2 document; Swagger 2.0, OpenAPI 3.0 and 3.1 are read"),
        (b'{"swagger": "2.0"}', 'api has no "paths"'),
        (b'{"swagger": "2.0", "paths": {}, "host": "h", "schemes": 7}', "api is a malformed Swagger 2.0 document: "),
        (b'{"openapi": "2.9"}', "api says OpenAPI 2.9; 3.0 and 3.1 are read"),
        (b'{"openapi": "3.1.0"}', 'api has no "paths"'),
        (b"<html>", "api is not an OpenAPI document: it holds text, not an object"),
        (b"[" * 200_000, "api cannot be read as JSON: "),
        (b"a: &a [*a]", "api is nested too deeply, or its aliases make it too large"),
    ],
)
def test_refused(data: bytes, said: str) -> None:
    with pytest.raises(OpenApiProblem) as problem:
        parse_openapi(data, "api")
    assert str(problem.value).startswith(said)


def test_a_yaml_bomb_is_refused() -> None:
    lines = ["openapi: 3.1.0", "paths: {}", "a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(OpenApiProblem, match="too large"):
        parse_openapi("\n".join(lines).encode(), "api")


def test_yaml_is_read_with_the_types_of_json() -> None:
    text = "openapi: 3.1.0\npaths: {}\ninfo: {version: 2024-01-01, title: no, flag: true, 200: x, big: 1e3, none: ~}"
    info = parse_openapi(text.encode(), "api")["info"]
    assert info == {"version": "2024-01-01", "title": "no", "flag": True, "200": "x", "big": 1000.0, "none": None}


def test_half_a_surrogate_pair_is_no_text() -> None:
    data = b'{"openapi": "3.1.0", "paths": {}, "info": {"title": "a\\ud800b \\ud83d\\ude00"}}'
    assert parse_openapi(data, "api")["info"] == {"title": "a?b \U0001f600"}


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_a_problem(data: bytes) -> None:
    try:
        parse_openapi(data, "api")
    except OpenApiProblem as problem:
        assert str(problem).startswith("api ")


def test_server_variables_take_their_defaults() -> None:
    servers = [
        {"url": "https://{region}.example.com/{v}", "variables": {"region": {"default": "eu"}, "v": {"default": "v1"}}}
    ]
    assert list(server_urls({"servers": servers})) == ["https://eu.example.com/v1"]
    assert list(server_urls({"servers": [5, {"url": 3}, {}]})) == []
    assert list(server_urls({"servers": "x"})) == []


def test_server_variables_take_the_values_of_the_operator() -> None:
    servers = [
        {"url": "https://{region}.example.com", "variables": {"region": {"default": "eu", "enum": ["eu", "us"]}}}
    ]
    assert list(server_urls({"servers": servers}, {"region": "us", "other": "x"})) == ["https://us.example.com"]
    with pytest.raises(OpenApiProblem, match='the variable region is "mars"; the document knows eu, us'):
        list(server_urls({"servers": servers}, {"region": "mars"}))


def test_one_bad_operation_is_listed_and_stops_nothing() -> None:
    document = {
        "openapi": "3.0.3",
        "info": {"title": "t", "version": "1"},
        "paths": {
            "/good": {"get": {"operationId": "good", "responses": {"200": {"description": "ok"}}}},
            "/lost/{id}": {"get": {"operationId": "lost"}},
            "/style": {"get": {"parameters": [{"name": "a", "in": "query", "style": "matrix"}]}},
            "/where": {"get": {"parameters": [{"name": "a", "in": "body"}]}},
            "/ref": {"get": {"parameters": [{"$ref": "#/components/parameters/none"}]}},
            "/circle": {"get": {"parameters": [{"$ref": "#/paths/~1circle/get/parameters/0"}]}},
            "/host": {"get": {"parameters": [{"name": "Host", "in": "header"}]}},
            "/nobody": {"post": {"requestBody": {"content": {}}}},
            "/trace": {"trace": {}},
            "no-slash": {"get": {}},
            "/odd": {"get": {"parameters": "x"}, "post": 5},
            "/far": {"$ref": "https://example.com/x.yaml"},
            "/null": None,
        },
    }
    loaded = load_openapi("api", json.dumps(document).encode(), "api")
    assert [tool.full_name for tool in loaded.tools] == ["api.good"]
    reasons = {one.original: one.reason for one in loaded.skipped}
    assert reasons == {
        "GET /lost/{id}": "its path names {id}, which no parameter describes",
        "GET /style": 'parameter "a" has the style "matrix", which query parameters do not have',
        "GET /where": 'parameter "a" is in "body"; known are path, query, header, cookie',
        "GET /ref": '"#/components/parameters/none" points at nothing in the document',
        "GET /circle": '"#/paths/~1circle/get/parameters/0" leads in a circle',
        "GET /host": 'header "Host" is not one a caller may set',
        "POST /nobody": "its body has no media type",
        "TRACE /trace": "TRACE is not called",
        "GET no-slash": 'its path does not begin with "/"',
        "GET /odd": "its parameters are not a list",
    }


def test_hostile_operation_names() -> None:
    names = ["__proto__", "constructor", "then", "class", "import", "a/b", "a-b", "a-b", "获取", "", None, 7, "x" * 500]
    paths = {f"/{n}": {"get": {"operationId": name, "responses": {"default": {}}}} for n, name in enumerate(names)}
    document = {"openapi": "3.1.0", "paths": paths}
    loaded = load_openapi("api", json.dumps(document).encode(), "api")
    found = [tool.name for tool in loaded.tools]
    assert len(set(found)) == len(names)
    assert found[:5] == ["proto", "constructor_", "then_", "class_", "import_"]
    assert all(name.isidentifier() and name.isascii() for name in found)
