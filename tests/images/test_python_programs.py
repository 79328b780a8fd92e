"""What a program may look like, and what its result is."""

from typing import Any

import pytest

from tests.images.python_host import Image, Reply, echo, python

__all__ = ["python"]

RESULTS: dict[str, tuple[str, Any]] = {
    "an expression": ("1 + 1", 2),
    "the last expression": ("x = 20\nx * 2", 40),
    "a statement at the end": ("x = 1", None),
    "nothing": ("", None),
    "a comment": ("# nothing\n", None),
    "a return": ("x = 1\nreturn x + 1", 2),
    "a bare return": ("return", None),
    "a return in a loop": ("for i in range(9):\n    if i == 4:\n        return i", 4),
    "a return in a try": ("try:\n    return 1\nexcept BaseException:\n    return 2\nfinally:\n    x = 3", 1),
    "a return in a with": ("import contextlib\nwith contextlib.suppress(BaseException):\n    return 5", 5),
    "no return reached": ("if False:\n    return 1\n7", 7),
    "inputs": ("inputs['a'] + 1", 42),
    "top-level await": ("import asyncio\nawait asyncio.sleep(0)\n3", 3),
    "await and return": ("import asyncio\nawait asyncio.sleep(0)\nreturn 3", 3),
    "async for": ("async def g():\n    yield 1\n    yield 2\n[x async for x in g()]", [1, 2]),
    "an awaitable as the last value": ("async def f():\n    return 8\nf()", 8),
    "a returned awaitable": ("async def f():\n    return 8\nreturn f()", 8),
    "main, not called": ("def main():\n    return 6", 6),
    "async main, not called": ("async def main():\n    return 6", 6),
    "main with inputs": ("def main(data):\n    return data['a']", 41),
    "main, called by name guard": ("def main():\n    return 6\nif __name__ == '__main__':\n    main()", 6),
    "main, called by hand": ("def main():\n    return 6\nx = main()", None),
    "asyncio.run": ("import asyncio\nasync def main():\n    return 9\nasyncio.run(main())", 9),
    "asyncio.run inside the loop": (
        "import asyncio\nasync def f():\n    return 9\nasync def g():\n    return asyncio.run(f())\nawait g()",
        9,
    ),
    "a new event loop": (
        "import asyncio\nasync def f():\n    return 1\nloop = asyncio.new_event_loop()\nloop.run_until_complete(f())",
        1,
    ),
    "a runner": ("import asyncio\nasync def f():\n    return 1\nwith asyncio.Runner() as r:\n    x = r.run(f())\nx", 1),
    "globals in functions": ("x = 1\ndef f():\n    global x\n    x += 1\nf()\nx", 2),
    "globals in functions, with return": ("x = 1\ndef f():\n    global x\n    x += 1\nf()\nreturn x", 2),
    "recursion, with return": ("def f(n): return 1 if n == 0 else n * f(n - 1)\nreturn f(5)", 120),
    "a class, with return": (
        "class A:\n    x: int = 1\n    def get(self): return A.x\nreturn [A().get(), A.__qualname__]",
        [1, "A"],
    ),
    "annotations, with return": ("x: int = 4\ny: str\nreturn x", 4),
    "a comprehension, with return": ("k = 3\nreturn [k * i for i in range(3)]", [0, 3, 6]),
    "import star, with return": ("from math import *\nreturn floor(2.5)", 2),
    "a future import, with return": ("from __future__ import annotations\ndef f(x: Unknown): return 1\nreturn f(1)", 1),
    "exec sees globals": ("exec('y = 5')\ny", 5),
    "pickle of a program's class": ("import pickle\nclass A: x = 3\npickle.loads(pickle.dumps(A())).x", 3),
    "a dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    a: int\n    b: 'list[int]'\nP(1, [2])",
        {"a": 1, "b": [2]},
    ),
    "name": ("__name__", "__main__"),
    "argparse": ("import argparse\nargparse.ArgumentParser().parse_args().__dict__", {}),
    "sys.exit": ("import sys\nsys.exit()", None),
    "exit zero": ("exit(0)", None),
    "source of a function": ("import inspect\ndef f(): pass\ninspect.getsource(f)", "def f(): pass\n"),
    "CRLF": ("x = 1\r\nx + 1\r\n", 2),
}


@pytest.mark.parametrize(("code", "expected"), RESULTS.values(), ids=RESULTS.keys())
def test_result(python: Image, code: str, expected: Any) -> None:
    outcome = python.run(code, inputs={"a": 41})
    assert outcome.error is None
    assert outcome.value == expected


VALUES: dict[str, tuple[str, Any]] = {
    "dates": (
        "import datetime as d\n[d.date(2024, 1, 2), d.datetime(2024, 1, 2, 3), d.timedelta(seconds=90)]",
        ["2024-01-02", "2024-01-02T03:00:00", 90.0],
    ),
    "decimal": ("from decimal import Decimal\nDecimal('1.10')", "1.10"),
    "set": ("{3, 1, 2}", [1, 2, 3]),
    "tuple": ("(1, (2, 3))", [1, [2, 3]]),
    "dict views": ("{'a': 1}.keys(), {'a': 1}.items()", [["a"], [["a", 1]]]),
    "not a number": ("[float('nan'), float('inf'), 1.5]", [None, None, 1.5]),
    "not a number, inside other types": ("{'a': {1.0, float('inf')}}", {"a": [1.0, None]}),
    "keys": (
        "import datetime\n{1: 'a', None: 'b', True: 'c', datetime.date(2024, 1, 1): 'd'}",
        {"1": "c", "null": "b", "2024-01-01": "d"},
    ),
    "enum": ("import enum\nclass E(enum.Enum):\n    A = 'x'\nE.A", "x"),
    "namedtuple": ("from collections import namedtuple\nnamedtuple('P', 'x y')(1, 2)", [1, 2]),
    "counter": ("from collections import Counter\nCounter('aab')", {"a": 2, "b": 1}),
    "a lone surrogate": ("'a\\ud800b'", "a\ufffdb"),
    "a surrogate pair": ("'\\ud83d\\ude00'", "\U0001f600"),
    "a big integer": ("2 ** 100", 2**100),
    "uuid and path": (
        "import uuid, pathlib\n[uuid.UUID(int=1), pathlib.PurePath('a/b')]",
        ["00000000-0000-0000-0000-000000000001", "a/b"],
    ),
}


@pytest.mark.parametrize(("code", "expected"), VALUES.values(), ids=VALUES.keys())
def test_value_as_json(python: Image, code: str, expected: Any) -> None:
    outcome = python.run(code)
    assert outcome.error is None
    assert outcome.value == expected


REFUSED: dict[str, tuple[str, str]] = {
    "bytes": ("{'a': [1, b'x']}", "result['a'][1] is no JSON: bytes: use .decode()"),
    "an object": ("class Thing: pass\n[Thing()]", "result[0] is no JSON: an object of type Thing"),
    "a cycle": ("x = {}\nx['x'] = [x]\nx", "result['x'][0] is no JSON: it contains itself"),
    "a generator": ("(i for i in [1]),", "result[0] is no JSON: a generator: use list(...)"),
    "a key": ("{(1, 2): 3}", "result is no JSON: its key (1, 2) is a tuple"),
    "a function": ("[print, lambda: 1][1]", "a function: call it"),
    "a call in a list": ("[codemode.a.b()]", "result[0] is no JSON: an un-awaited call of a tool: use await"),
    "an exception": ("ValueError('x')", "result is no JSON: the exception ValueError"),
    "a huge integer": ("10 ** 5000", "more than 4300 digits"),
}


@pytest.mark.parametrize(("code", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_value_that_is_no_json(python: Image, code: str, message: str) -> None:
    error = python.run(code).error
    assert error is not None
    assert error["name"] == "NotJsonError"
    assert message in error["message"]


def test_result_above_its_limit(python: Image) -> None:
    outcome = python.run("'x' * 2000", max_result_bytes=1000)
    assert outcome.error is not None
    assert outcome.error["limit"] == "result"
    assert "2002 bytes, the limit is 1000" in outcome.error["message"]


def test_result_is_measured_in_utf8(python: Image) -> None:
    assert python.run("'\u00e9' * 499", max_result_bytes=1000).ok
    assert not python.run("'\u00e9' * 500", max_result_bytes=1000).ok


def test_two_tasks_and_a_nested_run_share_one_loop(python: Image) -> None:
    code = """
import asyncio
seen = []
async def tick():
    for n in range(3):
        seen.append(n); await asyncio.sleep(1)
async def inner():
    await asyncio.sleep(1.5); return "inner"
task = asyncio.create_task(tick())
await asyncio.sleep(0)
value = asyncio.run(inner())
await task
[value, seen]
"""
    assert python.run(code).value == ["inner", [0, 1, 2]]


def test_tasks_left_over_are_cancelled(python: Image) -> None:
    code = """
import asyncio
async def forever():
    try:
        await asyncio.sleep(1e9)
    finally:
        print("cleaned up")
asyncio.create_task(forever())
await asyncio.sleep(0)
"done"
"""
    outcome = python.run(code, handler=echo)
    assert outcome.value == "done"
    assert outcome.lines == ["cleaned up"]
    assert outcome.host.now < 1_700_000_100 * 10**9


def test_program_may_replace_what_the_protocol_uses(python: Image) -> None:
    code = """
import builtins, json, asyncio, sys
json.dumps = json.loads = lambda *a, **k: "1nonsense"
json.JSONEncoder.encode = None
builtins.len = builtins.str = builtins.isinstance = None
asyncio.run = None
sys.modules.clear()
"done"
"""
    outcome = python.run(code)
    assert outcome.trap is None
    assert outcome.raw[0] in "01"


def test_reply_defaults_do_not_leak_between_runs(python: Image) -> None:
    python.run("import builtins\nbuiltins.leak = 1\nx = 5")
    outcome = python.run("[name for name in ('leak', 'x') if name in dir(__builtins__) or name in globals()]")
    assert outcome.value == []
    assert Reply().value is None
