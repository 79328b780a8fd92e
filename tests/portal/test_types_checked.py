"""Declarations under the tools that read such text: TypeScript's compiler, the erasing parser, mypy."""

import ctypes
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import mcp_types
import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.isolate.engine import THREAD_STACK_BYTES, Ticker, make_engine
from runtime.isolate.erasure import Erased
from runtime.isolate.typescript import TypeEraser
from runtime.portal.catalog import Catalog
from runtime.portal.declarations import declare
from runtime.portal.mcp_tools import build_tools
from runtime.portal.openapi import load_openapi
from sandboxes.images import image_path
from sandboxes.images.build import build_image
from tests.fixtures.fetch_documents import document, node
from tests.portal.parts import as_json
from tests.portal.test_declarations import object_schemas, schemas

PREAMBLE = "from typing import Any, Literal, Never, NotRequired, TypedDict\n"


# What real documents do to types, all at once.
def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def record(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


NAME = {"type": "string", "example": "rex", "minLength": 1}
SCHEMAS: dict[str, Any] = {
    "Node": record({"next": ref("Node"), "children": {"type": "array", "items": ref("Node")}}),
    "Animal": {
        "oneOf": [ref("Cat"), ref("Dog")],
        "discriminator": {"propertyName": "kind", "mapping": {"cat": ref("Cat")["$ref"], "kitten": ref("Cat")["$ref"]}},
    },
    "Pet": record(
        {
            "name": NAME,
            "kind": {"type": "string"},
            "secret": {"type": "string", "writeOnly": True},
            "id": {"type": "integer", "readOnly": True, "format": "int64"},
        },
        required=["name"],
    ),
    "Cat": {"allOf": [ref("Pet"), record({"lives": {"const": 9}})]},
    "Dog": {"allOf": [ref("Pet")], "properties": {"good": {"type": "boolean", "default": True}}},
    "Point": {"type": "array", "prefixItems": [{"type": "number"}, {"type": "number"}], "items": False},
    "Labels": {"type": "object", "additionalProperties": {"type": ["string", "null"]}},
    "Size": {"enum": ["small", "large", 3, None, True]},
    "class": record({"__proto__": {"type": "string"}, "a-b": {"type": "string"}, "constructor": ref("then")}),
    "then": {"type": "string", "format": "date-time", "nullable": True, "deprecated": True, "examples": ["2026-01-01"]},
    "Any": record({"Promise": ref("Any"), "x": {}}),
    "größe": {"anyOf": [{"type": "integer"}, ref("Any")]},
}
HARD = {
    "openapi": "3.1.0",
    "paths": {f"/{number}": {"post": {
        "operationId": name, "requestBody": {"content": {"application/json": {"schema": {"$ref": reference}}}},
        "parameters": [{"name": "class", "in": "query", "schema": {"$ref": reference}}],
        "responses": {"200": {"content": {"application/json": {"schema": {"$ref": reference}}}}}}}
        for number, (name, reference) in enumerate((f"use {key}", f"#/components/schemas/{key}") for key in SCHEMAS)},
    "components": {"schemas": SCHEMAS},
}  # fmt: skip


@pytest.fixture(scope="module")
def hard() -> Catalog:
    return Catalog().with_upstream("hard", load_openapi("hard", as_json(HARD), "hard").tools)


@pytest.fixture(scope="module")
def erase() -> Iterator[Callable[[str], Any]]:
    """The parser that workers use. The engine is kept: a timer ticks it."""
    build_image("typescript")
    before = threading.stack_size(THREAD_STACK_BYTES)
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()
    threading.stack_size(before)
    engine = make_engine()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))
    eraser = TypeEraser(engine, wasmtime.Module.from_file(engine, str(image_path("typescript"))))
    eraser.ticker = Ticker(engine)
    yield lambda source: pool.submit(eraser.erase, source).result()
    pool.shutdown()


def checked_typescript(text: str, directory: Path) -> str:
    """What the compiler finds wrong; empty for nothing."""
    (directory / "declarations.ts").write_text(text)
    options = ("--noEmit", "--strict", "--lib", "es2022", "declarations.ts")
    command = [node(), str(document("tsc")), *options]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=100).stdout


def checked_python(text: str, directory: Path) -> str:
    """What mypy finds wrong; empty for nothing. As a stub, because that is what declarations are."""
    (directory / "declarations.pyi").write_text(PREAMBLE + text)
    options = ("--strict", "--config-file=", "--cache-dir", str(directory / "cache"), "declarations.pyi")
    command = [sys.executable, "-m", "mypy", *options]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=100)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def bare(erased: Erased) -> str:
    """What is left when types are erased and comments gone: nothing, because declarations are types only."""
    return re.sub(r"//[^\n]*|/\*.*?\*/|[;\s]", "", erased.code, flags=re.DOTALL)


def all_of(catalog: Catalog, language: Any, step: int = 1) -> str:
    found = declare(catalog, list(catalog.tools)[::step][:12], language, 50_000)
    assert found.left_out == ()
    return found.text


def test_typescripts_compiler_accepts_hard_schemas(hard: Catalog, tmp_path: Path) -> None:
    text = all_of(hard, "javascript")
    assert checked_typescript(text, tmp_path) == ""
    assert 'type Animal = {\n  kind: "cat" | "kitten";\n} & Cat | {\n  kind: "Dog";\n} & Dog;' in text
    assert 'name: string; // e.g. "rex"' in text
    use = 'codemode.hard.useAnimal({body: {kind: "cat", name: "x"}}).then(a => a?.name);\n'
    wrong = 'codemode.hard.useAnimal({body: {kind: "cow", name: "x"}});\n'
    assert checked_typescript(text + "\n" + use, tmp_path) == ""
    assert "'\"cow\"' is not assignable" in checked_typescript(text + "\n" + wrong, tmp_path)


def test_mypy_accepts_hard_schemas(hard: Catalog, tmp_path: Path) -> None:
    assert checked_python(all_of(hard, "python"), tmp_path) == ""


def test_githubs_types_under_both_compilers(github_catalog: Catalog, tmp_path: Path) -> None:
    assert checked_typescript(all_of(github_catalog, "javascript", 101), tmp_path) == ""
    assert checked_python(all_of(github_catalog, "python", 101), tmp_path) == ""


def test_the_erasing_parser_takes_githubs_types(github_catalog: Catalog, erase: Callable[[str], Any]) -> None:
    for name in list(github_catalog.tools)[::61]:
        erased = erase(declare(github_catalog, [name]).text)
        assert isinstance(erased, Erased), (name, erased)
        assert bare(erased) == "", name


@settings(max_examples=120, deadline=None)
@given(object_schemas, schemas, st.text(max_size=80))
def test_the_erasing_parser_takes_whatever_a_server_says(
    erase: Callable[[str], Any], input_schema: dict[str, Any], output_schema: Any, description: str
) -> None:
    output = output_schema if isinstance(output_schema, dict) else {"anyOf": [output_schema]}
    listed = mcp_types.Tool(name="do_it", description=description, input_schema=input_schema, output_schema=output)
    tools, _ = build_tools("up", [listed])
    erased = erase(declare(Catalog().with_upstream("up", tools), ["up.do_it"]).text)
    assert isinstance(erased, Erased), erased
    assert bare(erased) == ""
