"""Signatures and declarations: what a program calls, in both languages."""

import ast
import json
import re
from typing import Any

import mcp_types
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.portal.catalog import Catalog
from runtime.portal.declarations import declare
from runtime.portal.mcp_tools import build_tools
from runtime.portal.openapi import OpenApiTools, load_openapi
from runtime.portal.schema import Shape
from runtime.portal.signature import MAX_LENGTH, signature
from runtime.portal.tool import Tool
from runtime.portal.type_reader import read_type
from runtime.portal.type_text import python, typescript
from tests.fixtures.o200k import tokens


def tool(input_schema: dict[str, Any], output_schema: dict[str, Any] | None = None, **more: Any) -> Tool:
    listed = mcp_types.Tool(name="do_it", input_schema=input_schema, output_schema=output_schema, **more)
    return build_tools("up", [listed])[0][0]


def declared(made: Tool, language: Any = "javascript", budget: int = 1_500) -> str:
    return declare(Catalog().with_upstream("up", [made]), [made.full_name], language, budget).text


@pytest.mark.parametrize(
    ("schema", "in_typescript", "in_python"),
    [
        (True, "unknown", "Any"),
        ({}, "unknown", "Any"),
        (False, "never", "Never"),
        ({"type": "string"}, "string", "str"),
        ({"type": "integer"}, "number", "int"),
        ({"type": ["string", "null"]}, "string | null", "str | None"),
        ({"type": "string", "nullable": True}, "string | null", "str | None"),
        ({"enum": ["a", 1, None, True]}, '"a" | 1 | null | true', "Literal['a', 1, True] | None"),
        ({"enum": ["*/", "\u2028", "'"]}, '"*/" | "\\u2028" | "\'"', "Literal['*/', '\\u2028', \"'\"]"),
        ({"const": "x"}, '"x"', "Literal['x']"),
        ({"enum": [1.5]}, "1.5", "float"),
        ({"enum": []}, "unknown", "Any"),
        ({"type": "array", "items": {"type": "string"}}, "string[]", "list[str]"),
        ({"type": "array"}, "unknown[]", "list[Any]"),
        ({"type": "array", "items": {"enum": ["a", "b"]}}, 'Array<"a" | "b">', "list[Literal['a', 'b']]"),
        ({"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False}, "[number, string]",
         "list[int | str]"),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "items": {"type": "string"}},
         "[number, ...Array<string>]", "list[int | str]"),
        ({"type": "object"}, "Record<string, unknown>", "dict[str, Any]"),
        ({"additionalProperties": {"type": "integer"}}, "Record<string, number>", "dict[str, int]"),
        ({"type": "object", "properties": {"a-b": {"type": "string"}, "c": {}}, "required": ["c"]},
         '{c: unknown, "a-b"?: string}', "dict[str, Any]"),
        ({"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "string"}]}, "string | number", "str | int"),
        ({"anyOf": [{"type": "string"}, {"anyOf": [{"type": "null"}, {"type": "integer"}]}]}, "string | number | null",
         "str | int | None"),
        ({"allOf": [{"type": "string"}], "description": "d"}, "string", "str"),
        ({"allOf": [{"properties": {"a": {}}}, {"properties": {"b": {}}}]}, "{a?: unknown} & {b?: unknown}",
         "dict[str, Any]"),
        ({"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}, "string", "str"),
        ({"type": "object", "properties": {"a": {}}, "anyOf": [{"required": ["a"]}]}, "{a?: unknown}",
         "dict[str, Any]"),
        ({"$ref": "#/nowhere"}, "unknown", "Any"),
        ({"$ref": "#/$defs/Node"}, "Node", "Node"),
        ({"type": 5, "enum": "x", "items": 3, "allOf": 1}, "unknown[]", "list[Any]"),
    ],
)  # fmt: skip
def test_types(schema: Any, in_typescript: str, in_python: str) -> None:
    root = {"$defs": {"Node": {"properties": {"next": {"$ref": "#/$defs/Node"}}}}}
    read = read_type(Shape(schema=schema, root=root))
    assert (typescript(read), python(read)) == (in_typescript, in_python)


USER = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Full name. */ not the end"},
        "boss": {"$ref": "#/$defs/User"},
        "kind": {"enum": ["a", "b"], "default": "a", "deprecated": True},
    },
    "required": ["name"],
    "$defs": {"User": {"type": "object", "properties": {"boss": {"$ref": "#/$defs/User"}}, "description": "A user."}},
}


def test_in_typescript() -> None:
    made = tool(
        USER, USER, description='Does it.\nReally. """ */', annotations=mcp_types.ToolAnnotations(read_only_hint=True)
    )
    assert signature(made) == (
        'codemode.up.do_it({name: string, boss?: User, kind?: "a" | "b"}): '
        'Promise<{name: string, boss?: User, kind?: "a" | "b"}>'
    )
    assert declared(made).splitlines()[:11] == [
        "declare const codemode: {",
        "  up: {",
        "    /**",
        "     * Does it.",
        '     * Really. """ *\\/',
        "     * Only reads.",
        "     */",
        "    do_it(args: {",
        "      name: string; // Full name. */ not the end",
        "      boss?: User;",
        '      kind?: "a" | "b"; // deprecated; default "a"',
    ]
    assert "/** A user. */\ninterface User {\n  boss?: User;\n}" in declared(made)
    assert declared(made).count("interface User ") == 1


def test_in_python() -> None:
    made = tool(USER, USER, description='Does it.\nReally. """ \\')
    assert signature(made, "python").startswith(
        "codemode.up.do_it(name: str, boss: User = ..., kind: Literal['a', 'b'] = ...) -> "
    )
    text = declared(made, "python")
    ast.parse(text)
    assert "async def do_it(*, name: str, boss: User = ..., kind: Literal['a', 'b'] = ...) -> Do_itResult:" in text
    assert "class Do_itResult(TypedDict):" in text
    assert "    name: str  # Full name. */ not the end" in text
    assert 'class User(TypedDict):\n    """A user."""\n    boss: NotRequired[User]' in text


PETS: dict[str, Any] = {
    "openapi": "3.1.0",
    "paths": {"/pets": {"post": {
        "operationId": "addPet",
        "parameters": [
            {"name": "mode", "in": "query", "deprecated": True, "description": "How.", "example": "fast",
             "schema": {"$ref": "#/components/schemas/Mode"}},
            {"name": "since", "in": "query", "examples": {"one": {"value": "2026-01-01"}},
             "schema": {"type": "string", "format": "date"}},
        ],
        "requestBody": {"required": True, "description": "The pet.", "content": {"application/json": {
            "example": {"kind": "dog"}, "schema": {"$ref": "#/components/schemas/Pet"}}}},
        "responses": {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Pet"}}}}},
    }}},
    "components": {"schemas": {
        "Mode": {"type": "string"},
        "Pet": {
            "oneOf": [{"$ref": "#/components/schemas/Cat"}, {"$ref": "#/components/schemas/Dog"}],
            "discriminator": {"propertyName": "kind", "mapping": {"kitty": "#/components/schemas/Cat"}},
        },
        "Cat": {"type": "object", "required": ["id"], "properties": {
            "id": {"type": "integer", "readOnly": True}, "pin": {"type": "string", "writeOnly": True},
            "born": {"type": "string", "format": "date-time", "examples": ["2026-01-01T00:00:00Z"]}}},
        "Dog": {"type": "object", "properties": {"tags": {
            "type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False}}},
    }},
}  # fmt: skip


def test_what_documents_say_beside_types() -> None:
    made = load_openapi("pets", json.dumps(PETS).encode(), "pets").tools[0]
    text = declared(made)
    for said in (
        'mode?: Mode; // How. (deprecated; e.g. "fast")',
        'since?: string; // date; e.g. "2026-01-01"',
        'body: Pet; // The pet. (e.g. {"kind": "dog"})',
        "id: number; // read-only",
        "pin?: string; // write-only",
        'born?: string; // date-time; e.g. "2026-01-01T00:00:00Z"',
        "tags?: [string, number];",
        'type Pet = {\n  kind: "kitty";\n} & Cat | {\n  kind: "Dog";\n} & Dog;',
    ):
        assert said in text, (said, text)
    python_text = declared(made, "python")
    ast.parse(python_text)
    assert "id: int  # read-only" in python_text
    assert 'mode: How. (deprecated; e.g. "fast")' in python_text
    assert "class PetObject1(TypedDict):\n    kind: Literal['kitty']\n    id: int  # read-only" in python_text


def test_names_that_are_no_identifiers() -> None:
    output = {"type": "object", "properties": {"a-b": {"type": "string"}, "class": {}}, "required": ["class"]}
    made = tool({"type": "object"}, output)
    text = declared(made, "python")
    ast.parse(text)
    assert "'a-b': NotRequired[str]," in text
    assert '"a-b"?: string' in declared(made)


def test_types_of_one_name_are_told_apart_and_equal_ones_are_one() -> None:
    one = tool(
        {"properties": {"x": {"$ref": "#/$defs/T"}}, "$defs": {"T": {"type": "object", "properties": {"a": {}}}}}
    )
    two = build_tools(
        "up",
        [
            mcp_types.Tool(name="same", input_schema=dict(one.input.root)),
            mcp_types.Tool(
                name="other",
                input_schema={"properties": {"x": {"$ref": "#/$defs/T"}},
                              "$defs": {"T": {"type": "object", "properties": {"b": {}}}}},
            ),
        ],
    )[0]  # fmt: skip
    catalog = Catalog().with_upstream("up", [one, *two])
    text = declare(catalog, list(catalog.tools)).text
    assert len(re.findall(r"^interface T\w* ", text, re.MULTILINE)) == 2
    assert "same(args?: {\n      x?: T;" in text


def test_the_budget_and_what_is_left_out() -> None:
    schemas = {f"T{n}": {"type": "object", "properties": {"next": {"$ref": f"#/components/schemas/T{n + 1}"},
                                                          "text": {"type": "string", "description": "words " * 10}}}
               for n in range(50)}  # fmt: skip
    schemas["T50"] = {"type": "object"}
    response = {"200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/T0"}}}}}
    document = {"openapi": "3.1.0", "paths": {"/a": {"get": {"operationId": "get", "responses": response}}},
                "components": {"schemas": schemas}}  # fmt: skip
    tools = load_openapi("api", json.dumps(document).encode(), "api").tools
    catalog = Catalog().with_upstream("api", tools)
    small = declare(catalog, ["api.get"], budget=250)
    assert tokens(small.text) < 250
    assert len(small.left_out) == 1
    assert small.text.endswith(f"// Left out for length; describe by name: {small.left_out[0]}")
    more = declare(catalog, list(small.left_out), budget=250)
    assert f"interface {small.left_out[0].removeprefix('api.')} " in more.text
    assert declare(catalog, ["api.get"], budget=50_000).left_out == ()


def test_unknown_names() -> None:
    catalog = Catalog().with_upstream("up", [tool({"type": "object"})])
    found = declare(catalog, ["up.do_it", "codemode.up.do_it({})", "up.nope", "", "x" * 1000])
    assert found.unknown == ("up.nope", "", "x" * 1000)
    assert found.text.count("do_it(") == 1


def test_every_operation_of_github(github: OpenApiTools, github_catalog: Catalog) -> None:
    assert len(github.tools) > 1_200
    assert github.skipped == ()
    for each in github.tools:
        for language in ("javascript", "python"):
            line = signature(each, language)
            assert "\n" not in line
            assert len(line) < 2 * MAX_LENGTH
            assert line.startswith(f"codemode.github.{each.name}(")
            assert _balanced(line)
    for each in github.tools[::7]:
        found = declare(github_catalog, [each.full_name])
        assert _balanced(_without_comments(found.text))
        text = declare(github_catalog, [each.full_name], "python").text
        ast.parse(text)
        assert f"async def {each.name}(" in text


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
schemas = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": ["integer", "null"]}, {"$ref": "#/$defs/D"}, {"$ref": "#"}, True, {}])
    | st.builds(lambda values: {"enum": values}, st.lists(json_values, max_size=4))
    | st.builds(lambda value: {"const": value, "default": value}, json_values),
    lambda inner: st.one_of(
        st.builds(
            lambda properties, text: {"type": "object", "properties": properties, "description": text},
            st.dictionaries(st.text(max_size=12), inner, max_size=4),
            st.text(max_size=60),
        ),
        st.builds(lambda item: {"type": "array", "items": item}, inner),
        st.builds(lambda key, members: {key: members}, st.sampled_from(["allOf", "anyOf", "oneOf"]),
                  st.lists(inner, max_size=3)),
        st.builds(lambda item: {"additionalProperties": item, "type": "object"}, inner),
        st.builds(lambda places: {"prefixItems": places}, st.lists(inner, max_size=3)),
        st.dictionaries(st.sampled_from(["type", "items", "allOf", "properties", "$ref", "required"]), json_values,
                        max_size=3),
    ),
    max_leaves=12,
)  # fmt: skip
object_schemas = st.builds(
    lambda properties, shared, required: {
        "type": "object", "properties": properties, "required": required, "$defs": {"D": shared}
    },
    st.dictionaries(st.text(max_size=12), schemas, max_size=4),
    schemas,
    st.lists(st.text(max_size=3), max_size=2),
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(object_schemas, schemas, st.text(max_size=120))
def test_whatever_a_server_says_declarations_are_well_formed(
    input_schema: dict[str, Any], output_schema: Any, description: str
) -> None:
    output = output_schema if isinstance(output_schema, dict) else {"anyOf": [output_schema]}
    made = tool(input_schema, output, description=description)
    text = declared(made, "python")
    ast.parse(text)
    compact = _without_comments(declared(made))
    assert _balanced(compact)
    for language in ("javascript", "python"):
        line = signature(made, language)
        assert "\n" not in line
        assert len(line) < 4_000
    line = signature(made, "python")
    if "more" not in line and "/*" not in line:
        ast.parse(f"def f{line.removeprefix('codemode.up.do_it')}: ...")


STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
PAIRS = {")": "(", "]": "[", "}": "{", ">": "<"}


def _without_comments(text: str) -> str:
    """TypeScript with strings emptied and comments gone; a comment that ends early leaves its rest behind."""
    out: list[str] = []
    place = 0
    while place < len(text):
        if match := STRING.match(text, place):
            out.append('""')
            place = match.end()
        elif text.startswith("/*", place):
            place = text.index("*/", place) + 2
        elif text.startswith("//", place):
            place = text.find("\n", place) if "\n" in text[place:] else len(text)
        else:
            out.append(text[place])
            place += 1
    bare = "".join(out)
    assert re.fullmatch(r'[\w\s{}()\[\]<>:;,.?|&="$+-]*', bare), bare
    return bare


def _balanced(text: str) -> bool:
    stack: list[str] = []
    for char in STRING.sub('""', text).replace("=>", "").replace("->", ""):
        if char in PAIRS.values():
            stack.append(char)
        elif char in PAIRS and (not stack or stack.pop() != PAIRS[char]):
            return False
    return not stack
