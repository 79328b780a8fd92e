"""Where the next page is: from headers, from bodies, and never as an address."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.portal.http_call import HttpReply
from runtime.portal.openapi import load_openapi
from runtime.portal.openapi_pages import links_of, next_arguments
from runtime.portal.tool import Tool
from tests.portal.parts import as_json

QUERY = [
    {"name": "page", "in": "query", "schema": {"type": "integer"}},
    {"name": "per_page", "in": "query", "schema": {"type": "integer"}},
    {"name": "cursor", "in": "query", "schema": {"type": "string"}},
    {"name": "page-token", "in": "query", "schema": {"type": "string"}},
    {"name": "pageToken", "in": "query", "schema": {"type": "string"}},
    {"name": "starting_after", "in": "query", "schema": {"type": "string"}},
    {"name": "continue", "in": "query", "schema": {"type": "string"}},
    {"name": "deep", "in": "query", "schema": {"type": "boolean"}},
    {"name": "labels", "in": "query", "explode": False, "schema": {"type": "array", "items": {"type": "string"}}},
]
DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/things/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {"operationId": "list", "parameters": QUERY},
            "post": {"operationId": "write", "parameters": QUERY},
        }
    },
}
LIST, WRITE = load_openapi("api", as_json(DOCUMENT), "api").tools


def reply(*headers: tuple[str, str]) -> HttpReply:
    return HttpReply(status=200, headers=headers, body=b"")


def following(value: Any = None, link: str = "", arguments: dict[str, Any] | None = None, tool: Tool = LIST) -> Any:
    links = links_of(reply(("link", link))) if link else {}
    return next_arguments(tool, arguments or {"id": "a"}, links, value)


@pytest.mark.parametrize(
    ("header", "links"),
    [
        ('<https://x/?page=2>; rel="next", <https://x/?page=9>; rel="last"', {"next": "https://x/?page=2", "last": "https://x/?page=9"}),
        ("<?page=2>;rel=next", {"next": "?page=2"}),
        ('<a>; title="x, y; rel=z"; rel="prev next"', {"prev": "a", "next": "a"}),
        ('<a>; REL="NEXT"', {"next": "a"}),
        ('<a>; rel="next", <b>; rel="next"', {"next": "a"}),
        ("<a>", {}),
        ("", {}),
        ("a; rel=next", {}),
        ("<a; rel=next", {}),
    ],
)  # fmt: skip
def test_the_link_header(header: str, links: dict[str, str]) -> None:
    assert links_of(reply(("link", header))) == links


def test_several_link_headers() -> None:
    assert links_of(reply(("link", "<a>; rel=next"), ("x", "y"), ("link", "<b>; rel=last"))) == {
        "next": "a",
        "last": "b",
    }


@given(st.text(max_size=300) | st.text(alphabet='<>;,="rel next\\', max_size=300))
def test_any_text_is_a_link_header(text: str) -> None:
    assert len(links_of(reply(("link", text)))) <= 250


@pytest.mark.parametrize(
    ("link", "told"),
    [
        ("https://api/things/9?page=2&per_page=50", {"page": 2, "per_page": 50}),
        ("https://elsewhere.example/?page=3", {"page": 3}),
        ("?cursor=a%2Bb%3D%3D", {"cursor": "a+b=="}),
        ("?page-token=t", {"page_token": "t"}),
        ("?labels=a,b&deep=true", {"labels": ["a", "b"], "deep": True}),
        ("?page=2&secret=x", {"page": 2}),
    ],
)
def test_a_link_is_read_for_declared_parameters(link: str, told: dict[str, Any]) -> None:
    assert following(link=f"<{link}>; rel=next") == {"id": "a", **told}


@pytest.mark.parametrize(
    "link", ["?unknown=1", "?page=two", "?page=1e999", "?id=b", "?deep=2", "/things/b", "https://[/?page=1"]
)
def test_a_link_that_says_nothing_the_tool_knows_is_no_next_page(link: str) -> None:
    assert following(link=f"<{link}>; rel=next") is None


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"next": "https://api/?page=2"}, {"page": 2}),
        ({"links": {"next": "/?page=2"}}, {"page": 2}),
        ({"_links": {"next": {"href": "/?page=2"}}}, {"page": 2}),
        ({"@odata.nextLink": "https://api/?cursor=x"}, {"cursor": "x"}),
        ({"meta": {"next_url": "/?page=4"}}, {"page": 4}),
        ({"nextPageToken": "t"}, {"pageToken": "t"}),
        ({"next_cursor": "c", "items": []}, {"cursor": "c"}),
        ({"response_metadata": {"next_cursor": "c"}}, {"cursor": "c"}),
        ({"metadata": {"continue": "k"}}, {"continue": "k"}),
        ({"pagination": {"next_page": 3}}, {"page": 3}),
        ({"has_more": True, "data": [{"id": "x1"}, {"id": "x2"}]}, {"starting_after": "x2"}),
        ({"next": "opaque"}, {"cursor": "opaque"}),
    ],
)
def test_a_body_that_tells_the_next_page(value: Any, told: dict[str, Any]) -> None:
    renamed = {"continue": "continue_"}
    assert following(value) == {"id": "a", **{renamed.get(key, key): each for key, each in told.items()}}


@pytest.mark.parametrize(
    "value",
    [
        None, [], "x", {}, {"next": None}, {"next_cursor": ""}, {"next_page": False}, {"next_page": "two"},
        {"has_more": False, "next_cursor": "c"}, {"has_more": True, "data": []}, {"has_more": True, "data": [7]},
        {"metadata": {"continue": ""}}, {"links": []}, {"next_cursor": "c" * 5_000}, {"next_cursor": {"a": 1}},
    ],
)  # fmt: skip
def test_a_body_that_tells_no_next_page(value: Any) -> None:
    assert following(value) is None


def test_what_writes_has_no_pages_and_the_same_page_is_not_the_next() -> None:
    assert following({"next_cursor": "c"}, tool=WRITE) is None
    assert following({"next_cursor": "c"}, arguments={"id": "a", "cursor": "c"}) is None
