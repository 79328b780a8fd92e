"""Several programs in one JavaScript isolate: what one declares the next one sees, what it left to do is dropped."""

import json
from typing import Any

import pytest
import wasmtime

from tests.images.javascript_host import Answer, Guest, run_to_end


class Session:
    """Runs programs one after the other; what a call gets is its own arguments."""

    def __init__(self, module: wasmtime.Module) -> None:
        self.guest = Guest(module)
        self.count = 0

    def __call__(self, program: str, inputs: Any = None, *, seed: int = 0) -> Any:
        """The program's value, or the name and message of its error."""
        ok, value = self.outcome(program, inputs, seed=seed)
        return value if ok else f"{value['name']}: {value['message']}"

    def outcome(self, program: str, inputs: Any = None, *, seed: int = 0) -> tuple[bool, Any]:
        self.count += 1
        guest = self.guest
        guest.outcomes.clear()
        guest.calls.clear()
        guest.run(program, inputs, number=self.count, seed=seed.to_bytes(32, "little"))
        run_to_end(guest, lambda call: Answer(call.payload))
        (ok, text), *more = guest.outcomes
        assert not more
        return ok, json.loads(text)


@pytest.fixture
def session(javascript_module: wasmtime.Module) -> Session:
    return Session(javascript_module)


DECLARATIONS = {
    "const": ("const x = { n: 1 }", "x.n + 1", 2),
    "let": ("let x = 1", "x += 1; x", 2),
    "var": ("var x = 1", "x + 1", 2),
    "function": ("function add(n) { return n + 1 }; 0", "add(1)", 2),
    "async function": ("async function add(n) { return n + 1 }; 0", "await add(1)", 2),
    "generator": ("function* two() { yield 1; yield 2 }; 0", "[...two()]", [1, 2]),
    "class": ("class A { #n = 2; get n() { return this.#n } }; 0", "new A().n", 2),
    "destructured": ("const { a, ...rest } = { a: 1, b: 2 }; let [c] = [3]", "[a, rest, c]", [1, {"b": 2}, 3]),
    "after await": ("const x = await codemode.a.b({ n: 2 })", "x.n", 2),
    "of a loop": ("for (var i = 0; i < 2; i++);", "i", 2),
    "undeclared": ("x = 2", "x", 2),
    "of a module": ("export const x = 1; let y = 1", "x + y", 2),
    "function of a module": ("let n = 1; export function inc() { n++ }", "inc(); n", 2),
    "default of a module": ("export default function two() { return 2 }", "two()", 2),
    "in a program that returns": ("const x = 2; function f() { return x }; return 0; let y", "f()", 2),
    "returned from a block": ("let x = 2; for (const i of [1]) { try { return i } finally { x = 3 } }", "x", 3),
    "beside an error": ("let x = 2; throw new Error('no')", "x", 2),
    "in a later event": ("let x; setTimeout(() => { x = 2 }, 5); await new Promise(r => setTimeout(r, 9))", "x", 2),
}


@pytest.mark.parametrize(("first", "second", "value"), DECLARATIONS.values(), ids=DECLARATIONS)
def test_what_one_program_declares_the_next_one_sees(session: Session, first: str, second: str, value: Any) -> None:
    session(first)
    assert session(second) == value


AGAIN = {
    "const const": ("const x = 1", "const x = 2"),
    "let const": ("let x = 1", "const x = 2"),
    "const let": ("const x = 1", "let x = 2"),
    "var let": ("var x = 1", "let x = 2"),
    "let var": ("let x = 1", "var x = 2"),
    "function const": ("function x() {}; 0", "const x = 2"),
    "const function": ("const x = 1", "function x() {}; x = 2"),
    "class let": ("class x {}", "let x = 2"),
    "class class": ("class x { static n = 1 }", "class x { static toJSON() { return 2 } }; var y = x; 0"),
    "module const": ("export const x = 1", "const x = 2"),
    "const module": ("const x = 1", "export const x = 2"),
    "module module": ("export let x = 1", "export let x = 2"),
}


@pytest.mark.parametrize(("first", "second"), AGAIN.values(), ids=AGAIN)
def test_a_name_may_be_declared_again(session: Session, first: str, second: str) -> None:
    session("var read = () => x")
    session(first)
    ok, value = session.outcome(second)
    assert ok, value
    assert session("typeof x === 'function' ? x.toJSON() : x") == 2
    assert session("typeof read() === 'function' ? read().toJSON() : read()") == 2


def test_a_global_may_be_hidden_and_shown_again(session: Session) -> None:
    assert session("const fetch = 1; fetch") == 1
    assert session("fetch") == 1
    assert session("let undefined_ = typeof globalThis.fetch; undefined_") == "function"
    assert "'undefined' already declared" in session("let undefined = 1")


def test_const_cannot_be_assigned_by_a_later_program(session: Session) -> None:
    session("const x = 1")
    assert "TypeError" in session("x = 2")
    assert session("x") == 1


def test_a_declaration_that_was_not_reached_is_none(session: Session) -> None:
    session("throw new Error('early'); let fetch = 1, y = 2")
    assert session("typeof fetch + ' ' + typeof y") == "function undefined"


def test_a_program_that_does_not_parse_changes_nothing(session: Session) -> None:
    session("let x = 1")
    assert "SyntaxError" in session("let x = 2; let x = 3")
    assert session("x") == 1


def test_inputs_are_those_of_the_program(session: Session) -> None:
    assert session("inputs.n", {"n": 1}) == 1
    assert session("const inputs = 7; inputs", {"n": 2}) == 7
    assert session("inputs.n", {"n": 3}) == 3


RESULTS = {
    "last expression": ("1; 2", 2),
    "return": ("return 2", 2),
    "return from within": ("if (true) { return 2 } 3", 2),
    "return nothing": ("5; return", None),
    "return of a promise": ("return codemode.a.b({ n: 2 })", {"n": 2}),
    "return of a thing with value": ("return { value: 1 }", {"value": 1}),
    "return in finally": ("try { return 1 } finally { return 2 }", 2),
    "return of a function": ("return () => 1", None),
    "await": ("await codemode.a.b({ n: 2 })", {"n": 2}),
    "a function": ("async (inputs) => inputs + 1", 2),
    "main": ("function main(inputs) { return inputs + 1 }", 2),
    "a declared function is not called": ("function delete_all() { return 1 }", None),
    "default export": ("export default async (inputs) => inputs + 1", 2),
}


@pytest.mark.parametrize(("program", "value"), RESULTS.values(), ids=RESULTS)
def test_a_program_has_the_value_it_has_alone(session: Session, program: str, value: Any) -> None:
    for _ in range(2):
        got = session(program, 1)
        assert got == value or (value is None and "is a function" in str(got))


NOT_OUTSIDE = {
    "in a module": ("return 1; export const x = 1", "cannot also have a return"),
    "in eval": ("eval('return 1')", "return not in a function"),
    "in indirect eval": ("(0, eval)('return 1')", "return not in a function"),
    "in a static block": ("class A { static { return 1 } }", "return in a static"),
}


@pytest.mark.parametrize(("program", "message"), NOT_OUTSIDE.values(), ids=NOT_OUTSIDE)
def test_where_return_is_refused(session: Session, program: str, message: str) -> None:
    assert message in session(program)


def test_eval_follows_the_rules_of_the_language(session: Session) -> None:
    session("let x = 1")
    assert "redeclaration of 'x'" in session("(0, eval)('var x = 2')")
    assert session("(async () => { try { (0, eval)('var x = 2') } catch (e) { return e.name } })()") == "SyntaxError"
    assert session("x") == 1


def test_what_a_program_left_to_do_is_dropped(session: Session) -> None:
    session("""
        globalThis.told = [];
        globalThis.call = codemode.a.b({ n: 1 });
        call.then(() => told.push('call'));
        setTimeout(() => told.push('timer'), 0);
        setInterval(() => told.push('interval'), 1);
        (async () => { for (;;) { await 1; await codemode.c.d({}); told.push('loop') } })();
        Promise.reject(new Error('lost'));
        1
    """)
    session.guest.logs.clear()
    assert session("await new Promise(r => setTimeout(r, 50)); await codemode.e.f({}); told") == []
    assert [call.name for call in session.guest.calls] == ["e.f"]
    assert session.guest.logs == []


def test_a_dropped_call_that_is_awaited_is_told(session: Session) -> None:
    session("const call = codemode.a.b({}); 1")
    assert "was dropped when it ended" in session("await call")


def test_calls_are_numbered_in_each_program(session: Session) -> None:
    for _ in range(2):
        session("await codemode.a.b({}); await codemode.c.d({})")
        assert [call.id for call in session.guest.calls] == [1, 2]


def test_the_console_begins_anew(session: Session) -> None:
    session("console.group('a'); console.count('n')")
    session.guest.logs.clear()
    session("console.count('n')")
    assert session.guest.logs == [(2, "n: 1")]


def test_one_clock_stands_still_between_programs_and_never_goes_back(session: Session) -> None:
    session("const began = Date.now(), mark = performance.now()")
    session.guest.now_ns += 3_000_000_000
    assert session("[Date.now() - began, performance.now() - mark]") == [3000, 3000]
    session.guest.now_ns -= 2_000_000_000
    assert session("[Date.now() - began, performance.now() - mark]") == [3000, 3000]


def test_randomness_is_that_of_the_programs_seed(session: Session) -> None:
    draw = "[Math.random(), crypto.randomUUID()]"
    first, again, other = session(draw, seed=1), session(draw, seed=1), session(draw, seed=2)
    assert first == again
    assert first[0] != other[0]
    assert first[1] != other[1]


def test_an_error_in_an_earlier_programs_function_points_at_the_call(session: Session) -> None:
    session("function fail() {\n  throw new Error('no')\n}\n0")
    ok, error = session.outcome("1;\nfail()")
    assert not ok
    assert (error["line"], error["column"], error["source_line"]) == (2, 1, "fail()")
    assert "program-1.js:2:" in error["stack"]
    assert "program.js:2:1" in error["stack"]


def test_memory_that_an_earlier_program_lacked_is_not_this_ones_error(session: Session) -> None:
    session("try { const a = []; for (;;) a.push(new Uint8Array(1 << 24)) } catch {} 1")
    ok, error = session.outcome("throw null")
    assert not ok
    assert error["limit"] is None


def test_many_programs(session: Session) -> None:
    session("let n = 0; const all = new Map()")
    for index in range(300):
        assert session(f"const x{index % 7} = n++; all.set(n, x{index % 7}); return all.size") == index + 1
