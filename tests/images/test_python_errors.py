"""How a program's failures are told: place, source line, traceback, limit."""

from typing import Any

import pytest

from tests.images.python_host import Image, Outcome, Reply, echo, python

__all__ = ["python"]


def _error(outcome: Outcome) -> dict[str, Any]:
    assert outcome.trap is None
    assert outcome.error is not None
    return outcome.error


PLACES: dict[str, tuple[str, str, int, int]] = {
    "a division": ("x = 1\ny = x / 0", "ZeroDivisionError", 2, 5),
    "in a function": ("def f():\n    return 1 / 0\nf()", "ZeroDivisionError", 2, 12),
    "in a function, with return": ("def f():\n    return 1 / 0\nreturn f()", "ZeroDivisionError", 2, 12),
    "in the library": ("import json\njson.loads('{')", "JSONDecodeError", 2, 1),
    "behind wide characters": ("x = '\u00e9\U0001f600'; 1 / 0", "ZeroDivisionError", 1, 11),
    "exit inside a task": ("import sys\nasync def f(): sys.exit(2)\nawait f()", "SystemExit", 2, 16),
    "an unknown name": ("print(1)\nnope", "NameError", 2, 1),
    "awaited": ("async def f():\n    raise ValueError('x')\nawait f()", "ValueError", 2, 5),
    "syntax": ("x = 1\ny = (2\nz = 3", "SyntaxError", 2, 5),
    "indentation": ("if True:\nx = 1", "IndentationError", 2, 1),
    "a NUL": ("y = 0\nx = 1\x00", "SyntaxError", 2, 6),
    "a return in a class": ("class A:\n    return 1", "SyntaxError", 2, 5),
    "a yield beside a return": ("yield 1\nreturn 2", "SyntaxError", 1, 1),
    "a main that fails": ("def main():\n    raise KeyError('k')", "KeyError", 2, 5),
    "exit with a status": ("import sys\nsys.exit(3)", "SystemExit", 2, 1),
    "an interrupt": ("raise KeyboardInterrupt", "KeyboardInterrupt", 1, 1),
    "half a surrogate pair": ("x = '\ud800'", "SyntaxError", 1, 1),
    "a relative import": ("from . import x", "ImportError", 1, 1),
}


@pytest.mark.parametrize(("code", "name", "line", "column"), PLACES.values(), ids=PLACES.keys())
def test_place(python: Image, code: str, name: str, line: int, column: int) -> None:
    error = _error(python.run(code))
    assert (error["name"], error["line"], error["column"]) == (name, line, column)
    assert error["source_line"] == code.replace("\ud800", "\ufffd").split("\n")[line - 1].rstrip()


def test_stack_has_the_programs_frames_only(python: Image) -> None:
    error = _error(python.run("import json\ndef parse(text):\n    return json.loads(text)\nparse('{')"))
    assert error["stack"].split("\n") == [
        "Traceback (most recent call last):",
        '  File "<program>", line 4, in <module>',
        "    parse('{')",
        '  File "<program>", line 3, in parse',
        "    return json.loads(text)",
        "           ^^^^^^^^^^^^^^^^",
        "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
    ]


def test_stack_tells_the_cause(python: Image) -> None:
    code = "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('outer') from e"
    stack = _error(python.run(code))["stack"]
    assert stack.index("ZeroDivisionError") < stack.index("direct cause") < stack.index("ValueError: outer")


def test_stack_is_bounded(python: Image) -> None:
    error = _error(python.run("def f(n):\n    return f(n + 1)\nf(0)"))
    assert error["name"] == "RecursionError"
    assert error["limit"] == "stack"
    assert "frames left out" in error["stack"]
    assert len(error["stack"]) < 3000


def test_message_is_bounded(python: Image) -> None:
    error = _error(python.run("raise ValueError('x' * 1000000)"))
    assert len(error["message"]) < 5000
    assert error["message"].endswith("bytes cut]")


def test_message_that_cannot_be_made(python: Image) -> None:
    code = "class E(Exception):\n    def __str__(self): raise ValueError\nraise E"
    assert _error(python.run(code))["name"] == "E"


def test_message_with_broken_unicode(python: Image) -> None:
    assert _error(python.run("raise ValueError('\\ud800')"))["message"] == "\ufffd"


def test_failed_call_is_attached(python: Image) -> None:
    failure = {"code": "denied", "message": "no", "status": 403, "retryable": False, "tool": "a.b", "details": [1]}
    error = _error(python.run("await codemode.a.b()", handler=lambda _: Reply(error=failure)))
    assert error["name"] == "ToolError"
    assert error["call"] == failure
    assert error["line"] == 1


def test_failed_call_in_a_task_group_is_attached(python: Image) -> None:
    failure = {"code": "timeout", "message": "slow", "status": None, "retryable": True, "tool": "a.b", "details": None}
    code = "import asyncio\nasync with asyncio.TaskGroup() as group:\n    group.create_task(codemode.a.b())"
    error = _error(python.run(code, handler=lambda _: Reply(error=failure)))
    assert error["name"] == "ExceptionGroup"
    assert error["call"] == failure
    assert "a.b: slow" in error["message"]


MEMORY = {
    "one allocation": "bytearray(10 ** 9)",
    "a growing string": "s = 'x' * 10\nwhile True:\n    s = s + s",
    "many objects": "x = []\nwhile True:\n    x.append([len(x)])",
    "in a function": "def f():\n    x = []\n    while True:\n        x.append(str(len(x)))\nf()",
}


@pytest.mark.parametrize("code", MEMORY.values(), ids=MEMORY.keys())
def test_exhausted_memory(python: Image, code: str) -> None:
    error = _error(python.run(code, memory=96 << 20))
    assert error["name"] == "MemoryError"
    assert error["limit"] == "memory"


def test_exhausted_memory_can_be_caught(python: Image) -> None:
    assert python.run("try:\n    bytearray(10 ** 9)\nexcept MemoryError:\n    x = 'caught'\nx").value == "caught"


FULL = """
a = []
for size in (10 ** 6, 10 ** 4, 10):
    try:
        while True: a.append(bytes(size))
    except MemoryError: pass
"""
TEXTS = "a = []\ntry:\n  while True: a.append('x' * 60 + str(len(a)))\nexcept MemoryError: "
SHORT = {
    "errors kept": "a = []\nwhile True:\n  try: 1 / 0\n  except Exception as e: a.append((e, [0] * 136))",
    "told by exit": TEXTS + "raise SystemExit(a)",
    "told by error": TEXTS + "raise ValueError(a)",
    "logged": FULL + "while True:\n  print('x' * 4000)\n  a.append(bytes(10))",
    "called": FULL + "while True: await codemode.x.y(b='x' * 4000)",
}


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
@pytest.mark.parametrize("code", SHORT.values(), ids=SHORT.keys())
def test_out_of_memory_while_an_error_is_told(python: Image, code: str, warm: bool) -> None:
    outcome = python.run(code, memory=64 << 20, warm=warm)
    assert outcome.trap is None
    assert outcome.error is not None
    assert (outcome.error["name"], outcome.error["limit"]) == ("MemoryError", "memory")


def test_a_result_is_given_without_memory(python: Image) -> None:
    assert python.run(FULL + "None", memory=64 << 20).raw == "1null"


DEADLOCKS = {
    "an event": "import asyncio\nawait asyncio.Event().wait()",
    "a future": "import asyncio\nawait asyncio.get_running_loop().create_future()",
    "a queue": "import asyncio\nawait asyncio.Queue().get()",
    "a lock": "import threading\nlock = threading.Lock()\nlock.acquire()\nlock.acquire()",
    "a thread's queue": "import queue\nqueue.Queue().get()",
}


@pytest.mark.parametrize("code", DEADLOCKS.values(), ids=DEADLOCKS.keys())
def test_wait_without_end(python: Image, code: str) -> None:
    assert _error(python.run(code))["name"] == "DeadlockError"


def test_wait_without_end_after_a_call(python: Image) -> None:
    code = "import asyncio\nawait codemode.a.b()\nawait asyncio.Event().wait()"
    error = _error(python.run(code, handler=echo))
    assert error["name"] == "DeadlockError"
    assert error["message"].startswith("the program waits for something that will never happen")


DEEP = {
    "source": "(" * 5000 + ")" * 5000,
    "eval": "eval('(' * 100000)",
    "literal_eval": "import ast\nast.literal_eval('[' * 100000)",
    "pickle": "import pickle\nx = []\nfor _ in range(100000): x = [x]\npickle.dumps(x)",
    "regular expression": "import re\nre.compile('(' * 10000 + ')' * 10000)",
    "repr that calls itself": "class A:\n    def __repr__(self): return repr(self)\nrepr(A())",
    "no limit": "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): return f()\nf()",
    "sort key": "def f(x): return sorted([1, 2], key=f)\nf(1)",
    "coroutines": "async def f(): return await f()\nawait f()",
}


@pytest.mark.parametrize("code", DEEP.values(), ids=DEEP.keys())
def test_depth_is_an_error(python: Image, code: str) -> None:
    error = _error(python.run(code))
    assert error["name"] in {"RecursionError", "MemoryError", "SyntaxError"}
    assert error["limit"] in {"stack", None}


# These exhaust the stack of WebAssembly itself at 8 MiB; the host tells by the trap. None of them harms the host.
TRAPS = {
    "json": "import json\njson.loads('[' * 100000)",
    "freeing": "x = []\nfor _ in range(1000000): x = [x]\ndel x",
    "comparison": "x = y = ()\nfor _ in range(300000): x, y = (x,), (y,)\nx == y",
}


@pytest.mark.parametrize("code", TRAPS.values(), ids=TRAPS.keys())
def test_depth_that_traps(python: Image, code: str) -> None:
    outcome = python.run(code)
    assert outcome.trap is None or "call stack exhausted" in outcome.trap
    assert python.run("1").ok


def test_endless_loop_is_stopped_from_outside(python: Image) -> None:
    assert "interrupt" in (
        python.run("while True:\n    try:\n        while True: pass\n    except BaseException: pass", seconds=0.3).trap
        or ""
    )
