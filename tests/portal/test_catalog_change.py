"""What the log says when an upstream's tools are others than before."""

import copy
from typing import Any

import pytest

from runtime.portal.catalog_change import change_between
from runtime.portal.openapi import load_openapi
from runtime.portal.tool import Tool
from tests.portal.parts import as_json

PARAMETERS = [{"name": "q", "in": "query", "schema": {"type": "string"}}]
DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {
        "/a": {"get": {"operationId": "a", "parameters": PARAMETERS, "responses": {
            "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Outer"}}}}}}},
        "/b": {"get": {"operationId": "b"}},
    },
    "components": {"schemas": {"Outer": {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}},
                               "Inner": {"type": "object", "properties": {"x": {"$ref": "#/components/schemas/Outer"}}},
                               "Unused": {"type": "string"}}},
}  # fmt: skip


def tools(change: Any = None) -> tuple[Tool, ...]:
    document = copy.deepcopy(DOCUMENT)
    if change is not None:
        change(document)
    return load_openapi("api", as_json(document), "api").tools


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (None, ""),
        (lambda d: d["components"]["schemas"].update(Unused={"type": "integer"}), ""),
        (lambda d: d["paths"].update({"/c": {"get": {"operationId": "c"}}}), "1 added (c)"),
        (lambda d: d["paths"].pop("/b"), "1 removed (b)"),
        (lambda d: d["paths"]["/b"]["get"].update(description="other"), "1 changed (b)"),
        (lambda d: d["paths"]["/b"]["get"].update(deprecated=True), "1 changed (b)"),
        (lambda d: d["components"]["schemas"]["Inner"].update(required=["x"]), "1 changed (a)"),
        (lambda d: d["components"]["schemas"].pop("Inner"), "1 changed (a)"),
        (lambda d: d["paths"].update({"/c": d["paths"].pop("/b")}), "1 changed (b)"),
        (lambda d: d.update(paths={f"/n{n}": {"get": {"operationId": f"n{n}"}} for n in range(20)}),
         "20 added (n0, n1, n2, n3, n4, n5, n6, n7 and 12 more); 2 removed (a, b)"),
    ],
)  # fmt: skip
def test_a_change_in_words(change: Any, said: str) -> None:
    found = change_between(tools(), tools(change))
    assert str(found) == said
    assert bool(found) == bool(said)
