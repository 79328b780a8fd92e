"""Several programs in one Python isolate: what one defines the next one sees, and what it left to do is dropped."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.images.python_host import Image, Reply, Session, Submitted, echo, python

__all__ = ["python"]


def _answer(call: Submitted) -> Reply:
    return Reply(never=True) if call.name == "no.answer" else echo(call)


@pytest.fixture
def session(python: Image) -> Iterator[Session]:
    return python.session(_answer)


DEFINITIONS: dict[str, tuple[str, str, Any]] = {
    "a name": ("x = 1", "x + 1", 2),
    "a function": ("def add(n): return n + 1", "add(1)", 2),
    "an async function": ("async def add(n): return n + 1", "await add(1)", 2),
    "a class": ("class A:\n    n = 2", "A().n", 2),
    "an import": ("import math", "math.floor(2.5)", 2),
    "an imported name": ("from math import floor as down", "down(2.5)", 2),
    "all of a module": ("from math import *", "floor(2.5)", 2),
    "all of a module, in a program that returns": ("from math import *\nreturn 1", "floor(2.5)", 2),
    "after await": ("x = await codemode.a.b(n=2)", "x['arguments']['n']", 2),
    "in a program that returns": ("x = 1\ndef get():\n    return x\nreturn 5", "get() + 1", 2),
    "a loop's name": ("for i in range(3): pass", "i", 2),
    "a global of a function": ("def f():\n    global x\n    x = 2\nf()", "x", 2),
    "beside an error": ("x = 2\nraise ValueError('no')", "x", 2),
    "beside an exit": ("x = 2\nraise SystemExit", "x", 2),
    "with an annotation": ("x: int = 2", "x", 2),
    "in a later event": ("import asyncio\nasync def f():\n    global x\n    x = 2\nawait asyncio.gather(f())", "x", 2),
}


@pytest.mark.parametrize(("first", "second", "value"), DEFINITIONS.values(), ids=DEFINITIONS)
def test_what_one_program_defines_the_next_one_sees(session: Session, first: str, second: str, value: Any) -> None:
    session(first)
    assert session(second) == value


def test_functions_see_names_that_are_given_again(session: Session) -> None:
    session("x = 1\ndef read(): return x")
    session("x = 2")
    assert session("read()") == 2


def test_a_global_may_be_replaced_and_deleted(session: Session) -> None:
    session("fetch = 1")
    assert session("fetch") == 1
    session("del fetch, codemode")
    assert "NameError" in session("fetch")


def test_inputs_are_those_of_the_program(session: Session) -> None:
    assert session("inputs['n']", inputs={"n": 1}) == 1
    session("inputs = 7", inputs={"n": 2})
    assert session("inputs['n']", inputs={"n": 3}) == 3


def test_an_earlier_result_is_not_the_next_one(session: Session) -> None:
    assert session("1 + 1") == 2
    assert session("x = 3") is None


def test_main_is_called_by_the_program_that_defines_it(session: Session) -> None:
    assert session("def main(inputs): return inputs + 1", inputs=1) == 2
    assert session("x = 1") is None


def test_a_program_that_does_not_parse_changes_nothing(session: Session) -> None:
    session("x = 1")
    assert "SyntaxError" in session("x = 2\nx = = 3")
    assert session("x") == 1


LEFTOVERS = """
import asyncio
told = []
call = codemode.no.answer()
async def forever():
    try:
        while True:
            await asyncio.sleep(0.001)
            told.append("loop")
    finally:
        told.append("finally")
task = asyncio.ensure_future(forever())
waiting = asyncio.ensure_future(codemode.no.answer())
asyncio.get_event_loop().call_later(0.001, told.append, "timer")
await asyncio.sleep(0)
asyncio.get_event_loop().call_soon(told.append, "soon")
"""


@pytest.mark.parametrize("end", ["raise ValueError('no')", "raise SystemExit"])
def test_what_a_program_left_to_do_is_dropped(session: Session, end: str) -> None:
    session(LEFTOVERS + end)
    outcome = session.run("import gc\nawait asyncio.sleep(0.05)\nawait codemode.c.d()\ngc.collect()\ntold")
    assert outcome.value == []
    assert [call.name for call in outcome.host.submitted] == ["c.d"]
    outcome = session.run("del task, waiting, call, forever\ngc.collect()\ntold")
    assert outcome.value == ["finally"]
    assert outcome.lines == []


def test_a_program_that_ends_well_cancels_its_tasks_itself(session: Session) -> None:
    session(LEFTOVERS)
    outcome = session.run("told")
    assert outcome.value[-1] == "finally"


def test_a_dropped_call_that_is_awaited_is_told(session: Session) -> None:
    session("call = codemode.no.answer()")
    assert "were dropped when it ended" in session("await call")


def test_calls_are_numbered_in_each_program(session: Session) -> None:
    for _ in range(2):
        outcome = session.run("await codemode.a.b()\nawait codemode.c.d()")
        assert [call.number for call in outcome.host.submitted] == [1, 2]


def test_streams_are_in_place_again_and_empty(session: Session) -> None:
    session("import sys, io\nsys.stdout = io.StringIO()\nprint('lost')")
    assert session.run("print('seen')").lines == ["seen"]


def test_one_clock_stands_still_between_programs(session: Session) -> None:
    session("import time\nbegan, mark = time.time(), time.monotonic()")
    session.now += 3_000_000_000
    assert session("[round(time.time() - began), round(time.monotonic() - mark)]") == [3, 3]


DRAWS = {
    "secrets": "import secrets\nsecrets.token_hex()",
    "uuid": "import uuid\nstr(uuid.uuid4())",
    "random": "import random\nrandom.random()",
    "a name of random": "from random import random as draw\ndraw()",
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_randomness_is_that_of_the_programs_seed(session: Session, draw: str) -> None:
    last = draw.rpartition("\n")[2]
    session("import random\nrandom.random()", seed=b"0")
    session(draw, seed=b"0")
    first, again, other = (session(last, seed=seed) for seed in (b"1", b"1", b"2"))
    assert first == again
    assert first != other


def test_an_error_in_an_earlier_programs_function_points_at_the_call(session: Session) -> None:
    session("def fail():\n    raise ValueError('no')")
    error = session.run("1\nfail()").error
    assert error is not None
    assert (error["line"], error["column"], error["source_line"]) == (2, 1, "fail()")
    assert 'File "<program>", line 2, in <module>' in error["stack"]
    assert 'File "<program 1>", line 2, in fail' in error["stack"]


def test_a_syntax_error_has_its_place(session: Session) -> None:
    session("1")
    error = session.run("x = 1\ny = = 2").error
    assert error is not None
    assert (error["name"], error["line"], error["column"]) == ("SyntaxError", 2, 5)
    assert 'File "<program>", line 2' in error["stack"]


def test_a_full_memory_is_told_in_a_later_program_too(session: Session) -> None:
    session("1")
    error = session.run("x = []\nwhile True: x.append(bytes(1 << 20))").error
    assert error is not None
    assert (error["name"], error["limit"]) == ("MemoryError", "memory")


def test_many_programs(session: Session) -> None:
    session("everything = {}")
    for index in range(200):
        assert (
            session(f"x{index % 7} = {index}\neverything[{index}] = x{index % 7}\nreturn len(everything)") == index + 1
        )
