"""Types erased by the parser that workers use, over its real WebAssembly."""

import ctypes
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.isolate import Guest, GuestLimits, RunSlots, Status
from runtime.isolate.bindgen import BadValueError, Values
from runtime.isolate.engine import THREAD_STACK_BYTES, Ticker, make_engine
from runtime.isolate.erasure import Erased, Problem, Types, character_column
from runtime.isolate.isolate import Nowhere
from runtime.isolate.javascript import JavaScriptImage
from runtime.isolate.native import define_values
from runtime.isolate.typed_run import run_typed
from runtime.isolate.typescript import TypeEraser
from sandboxes.images import image_path
from sandboxes.images.build import build_image

LIMITS = GuestLimits(
    cpu_ms=5_000,
    active_ms=5_000,
    wall_ms=10_000,
    memory_bytes=64 << 20,
    log_lines=100,
    log_bytes=10_000,
    log_line_bytes=1_000,
    result_bytes=10_000,
    host_calls=10,
    call_bytes=10_000,
)


@pytest.fixture(scope="module")
def parts():
    """Engine, eraser and image, on a thread with a guest's stack. The engine is kept: a timer ticks it."""
    build_image("typescript")
    build_image("javascript")
    before = threading.stack_size(THREAD_STACK_BYTES)
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()
    threading.stack_size(before)
    engine = make_engine()
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(engine))
    eraser = TypeEraser(engine, wasmtime.Module.from_file(engine, str(image_path("typescript"))))
    eraser.ticker = ticker = Ticker(engine)
    image = JavaScriptImage(engine, wasmtime.Module.from_file(engine, str(image_path("javascript"))))
    return SimpleNamespace(pool=pool, engine=engine, ticker=ticker, eraser=eraser, image=image)


@pytest.fixture(scope="module")
def erase(parts):
    return lambda source, *rest: parts.pool.submit(parts.eraser.erase, source, *rest).result()


ERASED = {
    "annotation": ("const x: number = 1", "const x         = 1"),
    "nothing to erase": ("const x = 1", "const x = 1"),
    "empty": ("", ""),
    "return and await": ("const r: A = await f(); return r as B", "const r    = await f(); return r     "),
    "arrow": ("async <T,>(x: T): Promise<T> => x", "async     (x   )             => x"),
    "interface": ("interface A { b: string }\nreturn 1", "                         \nreturn 1"),
    "type": ("type A = {\n  b: string\n}\n(1 + 2)", ";         \n           \n \n(1 + 2)"),
    "default export": ("export default async (i: A) => i!.b", "export default async (i   ) => i .b"),
    "import type": ('import type { A } from "a"\nexport default 1', "                          \nexport default 1"),
    "declare": ("declare const a: number; declare enum B {}", " " * 42),
    "satisfies": ("const c = { a: 1 } satisfies C", "const c = { a: 1 }            "),
    "members": (
        "class A { private readonly x: number = 1; declare y: string; z!: T; m(this: A, a?: number): void {} }",
        "class A {                  x         = 1;                    z    ; m(         a         )       {} }",
    ),
    "shebang": ("#!/usr/bin/env x\nreturn 1 as number", "#!/usr/bin/env x\nreturn 1          "),
    "in a template": ("`${1 as any}\n` as string", "`${1       }\n`          "),
    "automatic semicolon": ("let a = b\ntype T = 1\n(c)", "let a = b\n;         \n(c)"),
    "Windows line breaks": ("let a: 1\r\nlet b: 2\r\n", "let a   \r\nlet b   \r\n"),
    "not only ASCII": ('let ä: "äö€" = "€"; b as C', 'let ä        = "€"; b     '),
}


@pytest.mark.parametrize(("source", "code"), ERASED.values(), ids=ERASED)
def test_types_become_blanks(erase, source, code):
    erased = erase(source)
    assert isinstance(erased, Erased), erased
    assert (_blanks(erased.code), erased.changed) == (code, code != source)
    assert [len(line) for line in erased.code.split("\n")] == [len(line) for line in source.split("\n")]


def _blanks(code):
    return code.replace("\u00a0", " ").replace("\u2002", " ")


REFUSED = {
    "enum": ("let a = 1\nenum A { B }", 2, 1, "enum is not supported, because types are erased here, not compiled"),
    "const enum": ("const enum A { B }", 1, 1, "enum is not supported"),
    "namespace": ("namespace A { export const x = 1 }", 1, 1, "namespace is not supported"),
    "parameter property": ("class A { constructor(private x: number) {} }", 1, 31, "parameter property"),
    "import equals": ('import a = require("b")', 1, 1, "import x = require(..) is not supported"),
    "export equals": ("export = 3", 1, 1, "use export default"),
    "angle brackets": ("return <A>b", 1, 8, "write value as Type"),
}
WRONG = {
    "a token": ("let x: = 3", 1, 8, "Unexpected token `=`"),
    "on a later line": ("let a: number = 1\n\n  foo(]", 3, 7, "Expression expected"),
    "in a function": ("function f() {\n  let b: = 1\n}\nreturn f()", 2, 10, "Unexpected token"),
    "behind wide characters": ('"中\t😀" @', 1, 8, "Expected ';'"),
    "at the end": ("foo(", 1, 5, "Expression expected"),
    "return in a module": ("import a from 'b'\nreturn 1", 2, 1, "cannot also have a return"),
}


@pytest.mark.parametrize(("source", "line", "column", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_erased_is_refused_by_name(erase, source, line, column, words):
    problem = erase(source)
    assert isinstance(problem, Problem), problem
    assert words in problem.message
    assert problem.unsupported
    assert (problem.line, problem.column) == (line, column)
    assert problem.source_line == source.split("\n")[line - 1]


@pytest.mark.parametrize(("source", "line", "column", "words"), WRONG.values(), ids=WRONG)
def test_a_syntax_error_says_where_it_is(erase, source, line, column, words):
    problem = erase(source)
    assert isinstance(problem, Problem), problem
    assert words in problem.message
    assert not problem.unsupported
    assert (problem.line, problem.column) == (line, column)


HOSTILE = {
    "parentheses": "(" * 100_000,
    "brackets": "[" * 100_000,
    "braces": "{" * 100_000,
    "types": "type A = " + "(" * 60_000,
    "generics": "let x: " + "Array<" * 50_000,
    "templates": "`${" * 50_000,
    "arrows": "x=>" * 50_000 + "1",
    "sums": "1+" * 100_000 + "1",
    "ternaries or arrows": "a?(b):c=>" * 40,
    "a quarter of a megabyte of blocks": "{}" * 131_072,
    "more memory than there is": "{}" * 400_000,
    "quotes": '"' * 262_144,
    "backslashes": "\\" * 262_144,
    "open comments": "/*" * 131_072,
    "NUL": "\0" * 1_000,
    "half a surrogate pair": "let x: '\ud800' = 1",
    "one long line of errors": "@ " * 131_072,
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE)
def test_hostile_source_neither_hangs_nor_kills(erase, source):
    outcome = erase(source)
    assert isinstance(outcome, Erased | Problem)
    if isinstance(outcome, Problem):
        assert len(outcome.message) < 400
    assert erase("1 as any") == Erased("1       ", changed=True)


def test_nesting_memory_and_time_are_told_apart(erase):
    assert "nested too deeply" in erase("(" * 100_000).message
    assert "MiB to parse" in erase("{}" * 400_000).message
    assert "took longer than" in erase("a?(b):c=>" * 40).message


def test_whoever_asked_can_stop_it(erase):
    started = time.thread_time()
    problem = erase("a?(b):c=>" * 40, lambda: False)
    assert isinstance(problem, Problem)
    assert time.thread_time() - started < 0.4


@given(st.text(alphabet="(){}[]<>:;,.=?!|&`'\"\\/*@#$ \n\tabcAB01é€😀\u2028\u0000", max_size=80))
@settings(max_examples=400, deadline=None)
def test_whatever_the_source_lines_stay(erase, source):
    outcome = erase(source)
    if isinstance(outcome, Erased):
        assert outcome.code.count("\n") == source.count("\n")
    else:
        assert outcome.line is None or 1 <= outcome.line <= source.count("\n") + source.count("\r") + 1


def test_prepared_parsers_are_used_once(parts, erase):
    parts.pool.submit(parts.eraser.prepare, 2).result()
    assert [erase("1 as any").code for _ in range(4)] == ["1       "] * 4
    parts.eraser.close()


@pytest.mark.parametrize(
    ("line", "shown", "column"),
    [("abc", 2, 2), ("\tx", 4, 1), ("中x", 2, 1), ("e\u0301x", 1, 2), ("a", 9, 1), ("", 0, 0)],
)
def test_columns_as_shown_become_columns_in_characters(line, shown, column):
    assert character_column(line, shown) in {column, column - 1}


# The parser's side of the table of values is not trusted.


class FakeMemory:
    def read(self, _pointer, length):
        return b"x" * length

    def write(self, _pointer, _data):
        pass


def values(text_left=100):
    table = Values(FakeMemory(), None)
    table.text_left = text_left
    return table


def test_values_are_bounded():
    table = values()
    with pytest.raises(BadValueError, match="too many"):
        for _ in range(10_000):
            table.add(1)


def test_text_is_bounded():
    table = values(text_left=10)
    table._string_new(0, 10)
    with pytest.raises(BadValueError, match="too much"):
        table._string_new(0, 1)


@pytest.mark.parametrize("index", [-1, 10_000])
def test_a_value_that_is_not_there_is_refused(index):
    with pytest.raises(BadValueError, match="no such"):
        values().get(index)


def test_freeing_twice_frees_once():
    table = values()
    index = table.add("a")
    table.take(index)
    table.take(index)
    assert table.add("b") != table.add("c")


def test_a_host_function_that_fails_traps_its_caller_and_lets_nothing_out():
    engine = wasmtime.Engine()
    module = wasmtime.Module(
        engine,
        '(module (import "m" "f" (func $f (param i32) (result i32)))'
        '(func (export "g") (result i32) (call $f (i32.const 7))))',
    )
    linker, seen = wasmtime.Linker(engine), []

    def fail(number):
        seen.append(number)
        raise KeyboardInterrupt

    kept = define_values(linker, "m", "f", module.imports[0].type, fail)
    store = wasmtime.Store(engine)
    call = linker.instantiate(store, module).exports(store)["g"]
    with pytest.raises(wasmtime.WasmtimeError, match="refused by the host"):
        call(store)
    assert (seen, kept is not None) == ([7], True)


# Programs that may have types, run.


@pytest.fixture(scope="module")
def run(parts):
    def on_thread(program, types, inputs):
        taken = []

        def take():
            taken.append(parts.image.isolate())
            return taken[-1]

        guest = Guest(
            limits=LIMITS,
            seed=bytes(32),
            start_ns=0,
            channel=Nowhere(),
            slots=RunSlots(1),
            received=time.monotonic(),
        )
        with parts.ticker:
            guest.begin()
            outcome = run_typed(guest, program, inputs, types, take=take, eraser=parts.eraser)
            guest.finish()
        for isolate in taken:
            isolate.close()
        return outcome, len(taken)

    return lambda program, types, inputs="null": parts.pool.submit(on_thread, program, types, inputs).result()


def error(outcome):
    return json.loads(outcome.error)


def test_typescript_runs_without_its_types(run):
    outcome, isolates = run("const f = (x: number): number => x + 1\nreturn f(inputs as number)", Types.ERASE, "41")
    assert (outcome.ending.status, outcome.result, isolates) == (Status.SUCCEEDED, "42", 1)


def test_an_error_at_run_time_shows_the_line_that_was_written(run):
    outcome, _ = run("\nconst a: any = null; a.b", Types.ERASE)
    assert (error(outcome)["line"], error(outcome)["source_line"]) == (2, "const a: any = null; a.b")
    assert error(outcome)["column"] == 22


def test_what_cannot_be_erased_ends_as_a_program_error(run):
    outcome, isolates = run("enum A { B }", Types.ERASE)
    assert (outcome.ending.status, isolates) == (Status.PROGRAM_ERROR, 0)
    assert error(outcome)["name"] == "SyntaxError"
    assert "enum is not supported" in error(outcome)["message"]


@pytest.mark.parametrize(
    ("program", "result", "isolates"),
    [
        ("return 1", "1", 1),
        ("const x: number = 2; return x", "2", 2),
        ("async (i: number): Promise<number> => i + 1", "6", 2),
        ("export default (i: number) => i + 2", "7", 2),
        ("f = (a) => a; return f(3)", "3", 1),
    ],
)
def test_types_are_erased_only_once_javascript_did_not_parse(run, program, result, isolates):
    outcome, used = run(program, Types.IF_NEEDED, "5")
    assert (outcome.result, used) == (result, isolates), outcome


@pytest.mark.parametrize(
    ("program", "words", "isolates"),
    [
        ("let x = ;", "unexpected token", 1),
        ("enum A { B }", "enum is not supported", 1),
        ("JSON.parse('{')", "JSON", 1),
        ("eval('let x: number')", "expecting", 1),
        ("throw new SyntaxError('mine')", "mine", 1),
        ("const a: any = null; JSON.parse('{')", "JSON", 2),
        ("console.log(1); eval('let x: number')", "expecting", 1),
    ],
)
def test_the_error_that_helps_more_is_told(run, program, words, isolates):
    outcome, used = run(program, Types.IF_NEEDED)
    assert outcome.ending.status == Status.PROGRAM_ERROR
    assert words.lower() in error(outcome)["message"].lower()
    assert used == isolates


def test_without_types_nothing_is_erased(run):
    outcome, used = run("let x: number = 1", Types.KEEP)
    assert (outcome.ending.status, used) == (Status.PROGRAM_ERROR, 1)
