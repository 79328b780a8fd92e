"""What a program is, what its result is, and what an error says."""
# ruff: noqa: E501 programs stay on one line

import pytest

from tests.images.conftest import RunJavaScript

PROGRAMS = {
    "last expression": ("1 + 1", 2),
    "last expression after declarations": ("const a = 2; let b = 3; a * b", 6),
    "top-level await": ("const x = await Promise.resolve(4); x + 1", 5),
    "a promise as last expression": ("Promise.resolve([1])", [1]),
    "completion of a block": ("if (true) { 3 } else { 4 }", 3),
    "statements only": ("const a = 1;", None),
    "empty": ("", None),
    "only a comment": ("// nothing", None),
    "undefined": ("undefined", None),
    "return": ("return inputs.a", 1),
    "return in a branch": ("if (inputs.a) return 'yes'; return 'no'", "yes"),
    "return after await": ("await null; return { done: true }", {"done": True}),
    "return behind a hash bang": ("#!/usr/bin/env node\nreturn 5", 5),
    "export default value": ("export default { a: [1] }", {"a": [1]}),
    "export default function": ("export default function (inputs) { return inputs.a }", 1),
    "export default async arrow": ("export default async (inputs) => { await null; return inputs.a + 1 }", 2),
    "export default after top-level await": ("const v = await 7; export default v", 7),
    "exports without a default": ("export const a = 1", None),
    "bare async arrow": ("async (inputs) => inputs.a", 1),
    "bare arrow with semicolon and comment": ("// first\n(inputs) => inputs.a;\n", 1),
    "bare arrow in parentheses": ("(async () => 'p')", "p"),
    "bare function declaration": ("async function main(inputs) {\n  return inputs.a + 1;\n}\n", 2),
    "function declared and called": ("function main(i) { return i.a }\nmain(inputs)", 1),
    "immediately called function": ("(async () => 9)()", 9),
    "declaration before an immediately called function": (
        "function twice() { return 2 }\n(async () => { twice() })()",
        None,
    ),
    "shadowing what is global": (
        "const inputs = 5, fetch = 6, codemode = 7, console = 8; inputs + fetch + codemode + console",
        26,
    ),
    "strict": ("'use strict'; var q = 1; q", 1),
    "sloppy": ("undeclared = 3; undeclared", 3),
    "import in a string": ("const s = 'import x from y; export'; return s.length", 23),
    "nested error in a result": ("[new TypeError('no')]", [{"name": "TypeError", "message": "no"}]),
    "dates and toJSON": (
        "({ at: new Date(0), u: new URL('https://a.b/') })",
        {"at": "1970-01-01T00:00:00.000Z", "u": "https://a.b/"},
    ),
}


@pytest.mark.parametrize(("program", "value"), PROGRAMS.values(), ids=PROGRAMS.keys())
def test_result(run: RunJavaScript, program: str, value: object) -> None:
    assert run(program, {"a": 1}).value == value


def test_an_immediately_called_function_runs_once(run: RunJavaScript) -> None:
    guest = run("function a() {}\n(async () => { console.log('once') })()")
    assert [text for _, text in guest.logs] == ["once"]


NOT_JSON = {
    "function": ("({}).toString", "the result is a function"),
    "symbol": ("Symbol('x')", "the result is a symbol"),
    "BigInt": ("({ items: [1, { id: 10n }] })", "result.items[1].id is the BigInt 10n"),
    "cycle": ("const a = { b: {} }; a.b.c = a; a", "result.b.c refers back to result"),
    "Map": ("new Map([[1, 2]])", "Object.fromEntries"),
    "Set": ("new Set([1])", "Array.from"),
    "upstream": ("codemode.files", "codemode.files is a group of tools"),
    "toJSON that throws": ("({ toJSON() { throw new Error('mine') } })", "mine"),
}


@pytest.mark.parametrize(("program", "words"), NOT_JSON.values(), ids=NOT_JSON.keys())
def test_result_that_json_cannot_hold(run: RunJavaScript, program: str, words: str) -> None:
    assert words in run(program).error["message"]


def test_result_above_its_limit(run: RunJavaScript) -> None:
    error = run("'x'.repeat(1000)", result_bytes=100).error
    assert error["limit"] == "result"
    assert "1002 bytes" in error["message"]
    assert "limit is 100" in error["message"]


def test_result_at_its_limit(run: RunJavaScript) -> None:
    assert run("'x'.repeat(98)", result_bytes=100).value == "x" * 98


POSITIONS = {
    "script": ("const a = 1;\nthrow new Error('x')", "Error", 2, "throw new Error('x')"),
    "function body": (
        "const a = 1;\nif (a) throw new Error('x');\nreturn 1",
        "Error",
        2,
        "if (a) throw new Error('x');",
    ),
    "first line of a function body": ("return missing.name", "ReferenceError", 1, "return missing.name"),
    "module": ("const a = 1;\nexport default () => {\n  null.x\n}", "TypeError", 3, "  null.x"),
    "syntax": ("let a = 1;\nlet x = ;", "SyntaxError", 2, "let x = ;"),
    "syntax in a function body": ("return 1;\nlet x = ;", "SyntaxError", 2, "let x = ;"),
    "carriage returns": ("let a;\r\nthrow new Error('x');\r\n", "Error", 2, "throw new Error('x');"),
    "import": ("\nimport x from 'left-pad'", "ReferenceError", 2, "import x from 'left-pad'"),
}


@pytest.mark.parametrize(("program", "name", "line", "source_line"), POSITIONS.values(), ids=POSITIONS.keys())
def test_position(run: RunJavaScript, program: str, name: str, line: int, source_line: str) -> None:
    error = run(program).error
    assert (error["name"], error["line"], error["source_line"]) == (name, line, source_line)


COLUMNS = {
    "script": ("oops", 1),
    "indented": ("  oops", 3),
    "function body": ("return oops", 8),
    "second line of a function body": ("\nreturn oops", 8),
    "behind other scripts": ("const é = 'ü😀'; oops", 17),
    "syntax": ("let x = ;", 9),
    "syntax in a function body": ("return ;let x = ;", 17),
}


@pytest.mark.parametrize(("program", "column"), COLUMNS.values(), ids=COLUMNS.keys())
def test_column_counts_characters_of_the_callers_source(run: RunJavaScript, program: str, column: int) -> None:
    assert run(program).error["column"] == column


def test_stack_names_the_programs_functions_only(run: RunJavaScript) -> None:
    error = run("function inner() { new URL('no') }\nfunction outer() { inner() }\nouter()").error
    assert error["message"] == 'invalid URL: "no"'
    assert "lockgate:" not in error["stack"]
    assert [line.split()[1] for line in error["stack"].splitlines() if "program.js" in line] == [
        "inner",
        "outer",
        "<eval>",
    ]


def test_stack_and_message_are_bounded(run: RunJavaScript) -> None:
    error = run("const e = new Error('m'.repeat(100000)); e.stack = 'f\\n'.repeat(100000); throw e").error
    assert len(error["message"]) < 10_000
    assert len(error["stack"]) < 10_000


THROWN = {
    "string": ("throw 'no'", '"no"'),
    "object": ("throw { code: 1 }", "{ code: 1 }"),
    "null": ("throw null", "null"),
    "undefined": ("throw undefined", "undefined"),
}


@pytest.mark.parametrize(("program", "message"), THROWN.values(), ids=THROWN.keys())
def test_thrown_values_that_are_no_errors(run: RunJavaScript, program: str, message: str) -> None:
    error = run(program).error
    assert (error["name"], error["message"]) == ("Uncaught", message)


IMPORTS = {
    "static": "import fs from 'fs'",
    "bare": "import 'fs'",
    "named": "import { readFile } from 'fs'",
    "dynamic": "await import('fs')",
}


@pytest.mark.parametrize("program", IMPORTS.values(), ids=IMPORTS.keys())
def test_imports_say_what_to_do(run: RunJavaScript, program: str) -> None:
    error = run(program).error
    assert "cannot import 'fs'" in error["message"]
    assert "fetch" in error["message"]
    assert error["line"] == 1


def test_import_with_return_says_so(run: RunJavaScript) -> None:
    assert "export default" in run("import x from 'y'\nreturn x").error["message"]


ABSENT = (
    "require",
    "process",
    "Buffer",
    "XMLHttpRequest",
    "WebSocket",
    "localStorage",
    "document",
    "window",
    "Worker",
    "fs",
    "Deno",
    "Bun",
    "SharedArrayBuffer",
    "Atomics",
    "WebAssembly",
    "FormData",
    "Blob",
    "module",
)


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_absent_is_named_when_used(run: RunJavaScript, name: str) -> None:
    error = run(f"{name}.x").error
    assert error["name"] == "ReferenceError"
    assert error["message"].startswith(f"{name} is not defined: not available in this sandbox, ")


@pytest.mark.parametrize("name", ABSENT)
def test_what_is_absent_can_be_asked_for(run: RunJavaScript, name: str) -> None:
    assert run(f"[typeof {name}, '{name}' in globalThis]").value == ["undefined", False]


def test_never_settling(run: RunJavaScript) -> None:
    assert run("await new Promise(() => {})").error["name"] == "NeverSettles"


def test_broken_inputs_are_refused(start: RunJavaScript) -> None:
    guest = start("1", float("nan"))
    assert guest.error["name"] == "InvalidInputs"


def test_five_megabytes_of_source(run: RunJavaScript) -> None:
    assert run("// " + "x" * 5_000_000 + "\n1").value == 1


def test_nul_and_lone_surrogates(run: RunJavaScript) -> None:
    guest = run(
        r"console.log('a\u0000b\ud800c'); ['\ud800', 'a\u0000', '\ud83d\ude00', '\\ud800', JSON.rawJSON('\"\\ud83d\\ude00\"')]"
    )
    assert guest.logs == [(2, "a\0b\ufffdc")]
    assert guest.value == ["\ufffd", "a\0", "😀", "\\ud800", "😀"]
