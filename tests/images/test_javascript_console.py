"""console: levels, formatting, lengths."""
# ruff: noqa: E501 programs stay on one line

import pytest

from tests.images.conftest import RunJavaScript

FORMATS = {
    "strings": ("'a', 'b c'", "a b c"),
    "nothing": ("", ""),
    "primitives": ("1, -0, 5n, null, undefined, true, Symbol('s')", "1 -0 5n null undefined true Symbol(s)"),
    "string inside": ("['a']", '[ "a" ]'),
    "object": ("{ a: 1, 'b c': { d: [1, 2] } }", '{ a: 1, "b c": { d: [ 1, 2 ] } }'),
    "empty": ("{}, []", "{} []"),
    "map and set": ("new Map([['k', { a: 1 }]]), new Set([1])", 'Map(1) { "k" => { a: 1 } } Set(1) { 1 }'),
    "class": ("new (class Point { x = 1 })()", "Point { x: 1 }"),
    "null prototype": ("Object.assign(Object.create(null), { a: 1 })", "{ a: 1 }"),
    "functions": ("() => 1, function f() {}, class A {}", "[Function (anonymous)] [Function: f] [Function: A]"),
    "date, pattern": ("new Date(0), /x+/gi", "1970-01-01T00:00:00.000Z /x+/gi"),
    "invalid date": ("new Date(NaN)", "Invalid Date"),
    "typed array": ("new Uint8Array([1, 2])", "Uint8Array(2) [ 1, 2 ]"),
    "buffer": ("new ArrayBuffer(8)", "ArrayBuffer { byteLength: 8 }"),
    "promise": ("Promise.resolve(1)", "Promise {}"),
    "holes": ("[1, , 3]", "[ 1, <empty>, 3 ]"),
    "getter is not run": ("{ get a() { throw 1 } }", "{ a: [Getter] }"),
    "directives": (
        "'%s is %d and %j 100%% %o', 'a', 1.5, { b: 1 }, [2], 'rest'",
        "a is 1.5 and { b: 1 } 100% [ 2 ] rest",
    ),
    "percent alone": ("'50%'", "50%"),
    "depth": ("{ a: { b: { c: { d: { e: { f: 1 } } } } } }", "{ a: { b: { c: { d: { e: [Object] } } } } }"),
}


@pytest.mark.parametrize(("values", "text"), FORMATS.values(), ids=FORMATS.keys())
def test_format(run: RunJavaScript, values: str, text: str) -> None:
    assert run(f"console.log({values})").logs == [(2, text)]


def test_levels(run: RunJavaScript) -> None:
    guest = run("for (const level of ['debug', 'log', 'info', 'warn', 'error']) console[level](level)")
    assert guest.logs == [(1, "debug"), (2, "log"), (2, "info"), (3, "warn"), (4, "error")]


def test_cycles(run: RunJavaScript) -> None:
    assert run("const a = { b: {} }; a.b.c = a; console.log(a)").logs == [(2, "{ b: { c: [Circular] } }")]


def test_long_objects_are_broken_into_lines(run: RunJavaScript) -> None:
    guest = run("console.log({ first: 'x'.repeat(60), second: 'y'.repeat(60) })")
    assert guest.logs[0][1] == '{\n  first: "' + "x" * 60 + '",\n  second: "' + "y" * 60 + '"\n}'


def test_entries_are_bounded(run: RunJavaScript) -> None:
    text = run("console.log(Array.from({ length: 1000 }, (_, i) => i))").logs[0][1]
    assert text.endswith("... 900 more\n]")


def test_errors_show_their_place(run: RunJavaScript) -> None:
    text = run("\nconsole.log(new TypeError('no'))").logs[0][1]
    assert text.startswith("TypeError: no\n    at <eval> (program.js:2:")


def test_a_line_above_its_limit_is_cut_and_says_so(run: RunJavaScript) -> None:
    guest = run("console.log('é'.repeat(1000)); console.log('x'.repeat(200))", log_line_bytes=200)
    cut, whole = (text for _, text in guest.logs)
    assert len(cut.encode()) <= 200
    assert cut.endswith(" ... [cut: line of 2000 bytes, limit 200]")
    assert whole == "x" * 200


def test_a_gigantic_value_is_not_rendered_whole(run: RunJavaScript) -> None:
    guest = run(
        "const big = Array.from({ length: 100 }, () => Array.from({ length: 100 }, () => 'x'.repeat(1000))); console.log(big, big)",
        log_line_bytes=1000,
    )
    assert len(guest.logs[0][1].encode()) <= 1000


@pytest.mark.parametrize(
    "value",
    [
        "new Proxy({}, { get() { throw 1 }, ownKeys() { throw 1 }, getPrototypeOf() { throw 1 } })",
        "Object.create(new Proxy({}, { getOwnPropertyDescriptor() { throw 1 } }))",
    ],
)
def test_hostile_values_never_throw(run: RunJavaScript, value: str) -> None:
    guest = run(f"console.log({value}); 1")
    assert guest.value == 1
    assert len(guest.logs) == 1


def test_table_group_count_assert(run: RunJavaScript) -> None:
    guest = run("""
        console.table([{ a: 1, b: 'x' }, { a: 22 }]);
        console.group('g'); console.log('in\\nside'); console.groupEnd(); console.log('out');
        console.count(); console.count(); console.assert(true); console.assert(false, 'why');""")
    assert [text for _, text in guest.logs] == [
        "(index) | a  | b\n----------------\n0       | 1  | x\n1       | 22 |  ",
        "g",
        "  in\n  side",
        "out",
        "default: 1",
        "default: 2",
        "Assertion failed: why",
    ]
