"""Arguments onto the wire: OpenAPI 3.1, 4.8.12 in examples."""

import json
from typing import Any

import pytest

from runtime.execution.hostcall import HostCallError
from runtime.portal.arguments import checked_arguments
from runtime.portal.http_call import HttpReply, HttpRequest
from runtime.portal.openapi import load_openapi
from runtime.portal.openapi_call import build_request, read_reply, redirect_target
from runtime.portal.signature import signature
from runtime.portal.tool import Tool


def tool(operation: dict[str, Any], path: str = "/p", method: str = "post", **document: Any) -> Tool:
    whole = {"openapi": "3.1.0", "paths": {path: {method: {"operationId": "op", **operation}}}, **document}
    loaded = load_openapi("api", json.dumps(whole).encode(), "api")
    assert loaded.skipped == ()
    return loaded.tools[0]


def sent(made: Tool, arguments: dict[str, Any]) -> HttpRequest:
    return build_request(made, checked_arguments(made, arguments), base_url="http://h/base/")


LIST, OBJECT = ["a b", "c,d"], {"x": 1, "y": "z"}


@pytest.mark.parametrize(
    ("style", "explode", "value", "query"),
    [
        ("form", True, "a&b=c", "v=a%26b%3Dc"),
        ("form", True, LIST, "v=a%20b&v=c%2Cd"),
        ("form", False, LIST, "v=a%20b,c%2Cd"),
        ("form", True, OBJECT, "x=1&y=z"),
        ("form", False, OBJECT, "v=x,1,y,z"),
        ("spaceDelimited", False, LIST, "v=a%20b%20c%2Cd"),
        ("pipeDelimited", False, LIST, "v=a%20b%7Cc%2Cd"),
        ("deepObject", True, OBJECT, "v[x]=1&v[y]=z"),
        ("deepObject", True, {"a": {"b": [1, 2]}}, "v[a][b][]=1&v[a][b][]=2"),
        ("form", True, True, "v=true"),
        ("form", True, 3.0, "v=3"),
        ("form", True, "\ud800", "error"),
    ],
)
def test_query_styles(style: str, explode: bool, value: Any, query: str) -> None:
    made = tool({"parameters": [{"name": "v", "in": "query", "style": style, "explode": explode}]}, method="get")
    if query == "error":
        with pytest.raises(HostCallError, match=r"api\.op"):
            sent(made, {"v": value})
        return
    assert sent(made, {"v": value}).url == f"http://h/base/p?{query}"


@pytest.mark.parametrize(
    ("style", "explode", "value", "path"),
    [
        ("simple", False, "a/b?c#d", "a%2Fb%3Fc%23d"),
        ("simple", False, LIST, "a%20b,c%2Cd"),
        ("simple", False, OBJECT, "x,1,y,z"),
        ("simple", True, OBJECT, "x=1,y=z"),
        ("label", False, LIST, ".a%20b,c%2Cd"),
        ("label", True, LIST, ".a%20b.c%2Cd"),
        ("label", True, OBJECT, ".x=1.y=z"),
        ("matrix", False, 5, ";v=5"),
        ("matrix", True, LIST, ";v=a%20b;v=c%2Cd"),
        ("matrix", False, LIST, ";v=a%20b,c%2Cd"),
        ("matrix", True, OBJECT, ";x=1;y=z"),
    ],
)
def test_path_styles(style: str, explode: bool, value: Any, path: str) -> None:
    parameter = {"name": "v", "in": "path", "required": True, "style": style, "explode": explode}
    made = tool({"parameters": [parameter]}, path="/p/{v}/end", method="get")
    assert sent(made, {"v": value}).url == f"http://h/base/p/{path}/end"


@pytest.mark.parametrize("value", ["..", ".", ""])
def test_a_path_part_cannot_climb(value: str) -> None:
    made = tool({"parameters": [{"name": "v", "in": "path"}]}, path="/p/{v}", method="get")
    with pytest.raises(HostCallError, match=r'may not be empty, "\." or "\.\."'):
        sent(made, {"v": value})


def test_a_parameter_of_many_segments_keeps_its_slashes_but_does_not_climb() -> None:
    made = tool({"parameters": [{"name": "v", "in": "path", "x-multi-segment": True}]}, path="/p/{v}", method="get")
    assert sent(made, {"v": "a/b c"}).url == "http://h/base/p/a/b%20c"
    with pytest.raises(HostCallError):
        sent(made, {"v": "a/../b"})


def test_a_value_of_one_parameter_is_not_a_place_for_another() -> None:
    parameters = [{"name": "a", "in": "path"}, {"name": "b", "in": "path"}]
    made = tool({"parameters": parameters}, path="/{a}/{b}", method="get")
    assert sent(made, {"a": "{b}", "b": "x"}).url == "http://h/base/%7Bb%7D/x"


def test_headers_and_cookies() -> None:
    parameters = [
        {"name": "X-Trace", "in": "header", "schema": {"type": "array"}},
        {"name": "sid", "in": "cookie", "schema": {"type": "string"}},
        {"name": "Authorization", "in": "header"},
    ]
    made = tool({"parameters": parameters}, method="get")
    headers = dict(sent(made, {"X_Trace": [1, "b"], "sid": "a;b"}).headers)
    assert headers == {"accept": "application/json, */*;q=0.5", "x-trace": "1,b", "cookie": "sid=a%3Bb"}
    with pytest.raises(HostCallError, match="X_Trace: a header holds one line"):
        sent(made, {"X_Trace": ["a\r\nHost: evil"]})


def test_a_parameter_with_content_is_json() -> None:
    parameter = {"name": "filter", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}}
    assert sent(tool({"parameters": [parameter]}, method="get"), {"filter": {"a": [1]}}).url.endswith(
        "?filter=%7B%22a%22%3A%5B1%5D%7D"
    )


def test_names_are_made_safe_and_their_own_are_still_taken() -> None:
    parameters = [{"name": "per-page", "in": "query"}, {"name": "from", "in": "query"}, {"name": "id", "in": "query"},
                  {"name": "id", "in": "header"}, {"name": "body", "in": "query"}]  # fmt: skip
    made = tool({"parameters": parameters, "requestBody": {"content": {"application/json": {}}}})
    names = list(made.input.schema["properties"])
    assert names[:2] == ["per_page", "from_"]
    assert len(set(names)) == 6
    assert names[-2:] == ["body_", "body"]
    assert sent(made, {"per-page": 5, "from_": "x", "body_": "q", "body": [1]}).url.endswith(
        "?per-page=5&from=x&body=q"
    )


@pytest.mark.parametrize(
    ("media", "value", "body", "content_type"),
    [
        ("application/json", {"a": "é"}, '{"a":"é"}', "application/json"),
        ("application/vnd.x+json", [1], "[1]", "application/vnd.x+json"),
        ("application/x-www-form-urlencoded", {"a": "b c", "n": [1, 2], "o": None}, "a=b+c&n=1&n=2",
         "application/x-www-form-urlencoded"),
        ("text/plain", "hi\n", "hi\n", "text/plain; charset=utf-8"),
        ("application/octet-stream", {"base64": "AAE="}, "\x00\x01", "application/octet-stream"),
        ("application/octet-stream", "text", "text", "application/octet-stream"),
    ],
)  # fmt: skip
def test_bodies(media: str, value: Any, body: str, content_type: str) -> None:
    made = tool({"requestBody": {"content": {media: {}}}})
    request = sent(made, {"body": value})
    assert request.body == body.encode()
    assert dict(request.headers)["content-type"] == content_type


def test_multipart() -> None:
    made = tool({"requestBody": {"content": {"multipart/form-data": {}}}})
    request = sent(made, {"body": {'a"b': "x", "f": {"base64": "AAE=", "filename": "n.bin"}, "o": {"k": 1}}})
    boundary = dict(request.headers)["content-type"].split("boundary=")[1]
    assert request.body is not None
    assert request.body.split(f"--{boundary}".encode())[1:] == [
        b'\r\nContent-Disposition: form-data; name="a%22b"\r\n\r\nx\r\n',
        b'\r\nContent-Disposition: form-data; name="f"; filename="n.bin"\r\n'
        b"Content-Type: application/octet-stream\r\n\r\n\x00\x01\r\n",
        b'\r\nContent-Disposition: form-data; name="o"\r\nContent-Type: application/json\r\n\r\n{"k":1}\r\n',
        b"--\r\n",
    ]


def test_the_best_media_type_is_chosen() -> None:
    made = tool({"requestBody": {"content": {"text/plain": {}, "multipart/form-data": {}, "application/json": {}}}})
    assert made.binding.body.kind == "json"


def test_a_wrong_argument_says_which_and_shows_the_signature() -> None:
    made = tool({"parameters": [{"name": "id", "in": "query", "required": True, "schema": {"type": "integer"}}]})
    with pytest.raises(HostCallError) as error:
        checked_arguments(made, {"id": "x"})
    assert error.value.code == "invalid_argument"
    assert error.value.message == f'api.op: id: expected a whole number, not "x". Signature: {signature(made)}'
    assert error.value.tool == "api.op"


def test_null_for_an_optional_argument_is_left_out() -> None:
    parameters = [{"name": "a", "in": "query", "schema": {"type": "string"}},
                  {"name": "b", "in": "query", "schema": {"type": "string", "nullable": True}}]  # fmt: skip
    assert checked_arguments(tool({"parameters": parameters}), {"a": None, "b": None}) == {"b": None}
    assert checked_arguments(tool({"parameters": parameters}), None) == {}


def reply(status: int, body: bytes = b"", **headers: str) -> HttpReply:
    named = tuple((key.replace("_", "-"), value) for key, value in headers.items())
    return HttpReply(status=status, headers=named, body=body)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        (reply(200, b'{"a":1}', content_type="application/json; charset=utf-8"), {"a": 1}),
        (reply(200, b"[1]", content_type="application/vnd.github+json"), [1]),
        (reply(200, b"[1]"), [1]),
        (reply(200, b"[1", content_type="application/json"), "[1"),
        (reply(200, b"NaN", content_type="application/json"), "NaN"),
        (reply(200, b"[1]", content_type="text/plain"), "[1]"),
        (reply(204), None),
        (reply(200, b"\xff\x00", content_type="image/png"), {"base64": "/wA=", "content_type": "image/png"}),
        (reply(302, location="https://elsewhere/x"), {"status": 302, "location": "https://elsewhere/x"}),
    ],
)
def test_answers(answer: HttpReply, value: Any) -> None:
    assert read_reply(tool({"responses": {"302": {}}}), answer) == value


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [(400, "upstream_error", False), (404, "not_found", False), (410, "not_found", False), (408, "timeout", True),
     (422, "upstream_error", False), (429, "upstream_error", True), (500, "upstream_error", True),
     (503, "unavailable", True), (504, "timeout", True)],
)  # fmt: skip
def test_failed_answers(status: int, code: str, retryable: bool) -> None:
    with pytest.raises(HostCallError) as error:
        read_reply(tool({}), reply(status, b'{"message":"Bad  thing","errors":[1]}'))
    told = error.value
    assert (told.code, told.status, told.retryable) == (code, status, retryable)
    assert told.message == f"api.op: the upstream answered {status}: Bad thing"
    assert told.details == {"message": "Bad  thing", "errors": [1]}


@pytest.mark.parametrize("body", [b"x" * 100_000, json.dumps({"a": "x" * 100_000}).encode()])
def test_a_long_error_body_is_cut(body: bytes) -> None:
    with pytest.raises(HostCallError) as error:
        read_reply(tool({}), reply(500, body))
    assert len(error.value.details) < 9_000
    assert len(error.value.message) < 500


@pytest.mark.parametrize(
    ("method", "status", "location", "target"),
    [
        ("GET", 301, "/new", "http://h/new"),
        ("GET", 302, "http://h/new#f", "http://h/new"),
        ("POST", 302, "/new", None),
        ("POST", 307, "/new", "http://h/new"),
        ("GET", 301, "https://h/new", None),
        ("GET", 301, "http://other/new", None),
        ("GET", 301, "//h:81/new", None),
        ("GET", 304, "/new", None),
        ("GET", 200, "/new", None),
    ],
)
def test_redirects_are_followed_under_one_origin_only(method: str, status: int, location: str, target: str) -> None:
    assert redirect_target(HttpRequest(method=method, url="http://h/old"), reply(status, location=location)) == target


def test_shared_types_are_not_inlined() -> None:
    schemas = {"Node": {"type": "object", "properties": {"next": {"$ref": "#/components/schemas/Node"}}}}
    body = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}}
    made = tool({"requestBody": body, "responses": {"200": body}}, components={"schemas": schemas})
    assert made.input.schema["properties"]["body"] == {"$ref": "#/components/schemas/Node"}
    assert signature(made).endswith("Promise<Node>")
    with pytest.raises(HostCallError, match=r"body.next.next: expected an object, not 5"):
        checked_arguments(made, {"body": {"next": {"next": 5}}})
