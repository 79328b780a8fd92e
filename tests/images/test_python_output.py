"""print, standard error, logging and warnings as log lines."""

# ruff: noqa: E501 (programs in tables are one line each)

import pytest

from tests.images.python_host import Image, python

__all__ = ["python"]

INFO, WARNING, ERROR = 2, 3, 4


def _logs(python: Image, code: str, **limits: int) -> list[tuple[int, str]]:
    outcome = python.run(code, **limits)
    assert outcome.error is None
    assert outcome.trap is None
    return outcome.host.logs


CASES: dict[str, tuple[str, list[tuple[int, str]]]] = {
    "print": ("print('a', 1)", [(INFO, "a 1")]),
    "several lines": ("print('a\\n\\nb')", [(INFO, "a"), (INFO, ""), (INFO, "b")]),
    "no newline": ("print('a', end='')\nprint('b', end='')", [(INFO, "ab")]),
    "flush does not cut a line": ("print('a', end='', flush=True)\nprint('b')", [(INFO, "ab")]),
    "standard error": ("import sys\nprint('x', file=sys.stderr)", [(ERROR, "x")]),
    "bytes": ("import sys\nsys.stdout.buffer.write('\u00e9\\n'.encode())\nNone", [(INFO, "\u00e9")]),
    "in order": (
        "import sys\nprint('a')\nprint('b', file=sys.stderr)\nprint('c')",
        [(INFO, "a"), (ERROR, "b"), (INFO, "c")],
    ),
    "a lone surrogate": ("print('a\\ud800b')", [(INFO, "a\ufffdb")]),
    "a surrogate pair": ("print('\\ud83d\\ude00')", [(INFO, "\U0001f600")]),
    "a NUL": ("print('a\\0b')", [(INFO, "a\0b")]),
    "logging": (
        "import logging\nlogging.debug('d')\nlogging.info('i')\nlogging.warning('w')\nlogging.error('e')",
        [(WARNING, "WARNING:root:w"), (ERROR, "ERROR:root:e")],
    ),
    "logging, configured": (
        "import logging\nlogging.basicConfig(level=logging.DEBUG, format='%(message)s')\n"
        "logging.debug('d')\nlogging.info('i')\nlogging.getLogger('x').critical('c')",
        [(1, "d"), (INFO, "i"), (ERROR, "c")],
    ),
    "logging a lone surrogate": ("import logging\nlogging.error('\\ud800')", [(ERROR, "ERROR:root:\ufffd")]),
    "a warning": ("import warnings\nwarnings.warn('careful')", [(WARNING, "line 2: UserWarning: careful")]),
    "a forgotten await": (
        "async def f(): pass\nf()\nNone",
        [(WARNING, "line 2: RuntimeWarning: coroutine 'f' was never awaited")],
    ),
    "redirected": (
        "import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()) as out:\n    print('hidden')\nprint(out.getvalue()[:3])",
        [(INFO, "hid")],
    ),
}


@pytest.mark.parametrize(("code", "expected"), CASES.values(), ids=CASES.keys())
def test_log_lines(python: Image, code: str, expected: list[tuple[int, str]]) -> None:
    assert _logs(python, code) == expected


def test_output_before_an_error_is_kept(python: Image) -> None:
    outcome = python.run("print('a')\nprint('b', end='')\n1 / 0")
    assert outcome.lines == ["a", "b"]


@pytest.mark.parametrize("text", ["'x' * 5000", "'\u00e9' * 5000", "'\U0001f600' * 5000", "'\\ud800' * 5000"])
def test_a_long_line_is_cut_with_a_marker(python: Image, text: str) -> None:
    [(_, line)] = _logs(python, f"print({text})", max_log_line_bytes=200)
    size = len(eval(text).encode("utf-8", "replace")) if "ud800" not in text else 15000
    kept, _, marker = line.partition(" ... [")
    assert len(line.encode()) <= 200
    assert marker == f"{size - len(kept.encode())} bytes cut]"


def test_a_line_at_the_limit_is_not_cut(python: Image) -> None:
    assert _logs(python, "print('x' * 200)", max_log_line_bytes=200) == [(INFO, "x" * 200)]


def test_a_line_that_never_ends_keeps_its_start_only(python: Image) -> None:
    code = "import sys\nfor _ in range(1000):\n    sys.stdout.write('x' * 100_000)\nprint()\nprint('next')"
    first, second = _logs(python, code, max_log_line_bytes=200)
    assert first[1].endswith("bytes cut]")
    assert second == (INFO, "next")


def test_the_streams_look_like_streams(python: Image) -> None:
    code = "import sys\n[sys.stdout.isatty(), sys.stdout.encoding, sys.stderr.name, sys.stdout.writable(), sys.stdout.closed]"
    assert python.run(code).value == [False, "utf-8", "<stderr>", True, False]


def test_a_custom_stdout(python: Image) -> None:
    code = "import sys, io\nsys.stdout = io.StringIO()\nprint('x')\nsys.stdout.getvalue()"
    assert python.run(code).value == "x\n"
