"""What is not there says so and names what is; nothing a program reaches for by ordinary means traps."""

# ruff: noqa: E501 (programs in tables are one line each)

import pytest

from tests.images.python_host import Image, python

__all__ = ["python"]

_FILES = "there are no files in this sandbox"
_SOCKETS = "there are no sockets in this sandbox: use await fetch(...)"
_PROCESSES = "there are no processes in"

REFUSALS: dict[str, tuple[str, str]] = {
    "open to read": ("open('x')", _FILES),
    "open to write": ("open('x', 'w')", _FILES),
    "io.open": ("import io\nio.open('x', 'ab')", _FILES),
    "FileIO": ("import io\nio.FileIO('x')", _FILES),
    "pathlib": ("import pathlib\npathlib.Path('a').read_text()", _FILES),
    "pathlib to write": ("import pathlib\npathlib.Path('a').write_text('x')", _FILES),
    "a temporary file": ("import tempfile\ntempfile.NamedTemporaryFile()", _FILES),
    "a temporary folder": ("import tempfile\ntempfile.TemporaryDirectory()", _FILES),
    "a database file": ("import sqlite3\nsqlite3.connect('x.db')", "use ':memory:'"),
    "a descriptor": ("import os\nos.write(1, b'x')", "there are no file descriptors"),
    "input": ("input('name?')", "use the global `inputs`"),
    "standard input": ("import sys\nsys.stdin.read()", "use the global `inputs`"),
    "a password": ("import getpass\ngetpass.getpass()", "use the global `inputs`"),
    "a breakpoint": ("breakpoint()", "use print"),
    "a socket": ("import socket\nsocket.socket()", _SOCKETS),
    "a connection": ("import socket\nsocket.create_connection(('h', 1))", _SOCKETS),
    "a name": ("import socket\nsocket.getaddrinfo('h', 1)", _SOCKETS),
    "a stream": ("import asyncio\nawait asyncio.open_connection('h', 1)", _SOCKETS),
    "mail": ("import smtplib\nsmtplib.SMTP('h')", _SOCKETS),
    "ftp": ("import ftplib\nftplib.FTP('h')", _SOCKETS),
    "select": ("import select\nselect.select([], [], [], 1)", _SOCKETS),
    "a subprocess": ("import subprocess\nsubprocess.run(['ls'])", _PROCESSES),
    "a shell": ("import os\nos.system('ls')", _PROCESSES),
    "an async subprocess": ("import asyncio\nawait asyncio.create_subprocess_exec('ls')", _PROCESSES),
    "a process": ("import multiprocessing\nmultiprocessing.Process(target=print).start()", _PROCESSES),
    "a pool": ("import multiprocessing\nmultiprocessing.Pool(2)", _PROCESSES),
    "a process pool": ("from concurrent.futures import ProcessPoolExecutor", _PROCESSES),
    "a thread": ("import threading\nthreading.Thread(target=print).start()", "use asyncio.gather"),
    "a timer thread": ("import threading\nthreading.Timer(1, print).start()", "use asyncio.gather"),
    "_exit": ("import os\nos._exit(1)", _PROCESSES),
    "abort": ("import os\nos.abort()", _PROCESSES),
    "a signal": ("import signal\nsignal.raise_signal(9)", _PROCESSES),
    "ssl": ("import ssl", "TLS is done outside"),
    "bz2": ("import bz2", "use zlib or gzip"),
    "lzma": ("import lzma", "use zlib or gzip"),
    "ctypes": ("import ctypes", "no foreign code"),
    "mmap": ("import mmap", "use bytearray"),
    "curses": ("import curses", "no terminal"),
    "tkinter": ("import tkinter", "no screen"),
    "numpy": ("import numpy", "use lists, statistics"),
    "httpx": ("import httpx", "use await fetch(...)"),
    "aiohttp": ("import aiohttp", "use await fetch(...)"),
    "pip": ("import pip", "nothing can be installed"),
}


@pytest.mark.parametrize(("code", "message"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusal_names_the_alternative(python: Image, code: str, message: str) -> None:
    outcome = python.run(code)
    assert outcome.trap is None
    assert outcome.error is not None
    assert message in outcome.error["message"]


KINDS = {
    "reading": ("open('x')", "FileNotFoundError"),
    "writing": ("open('x', 'w')", "PermissionError"),
    "connecting": ("__import__('socket').create_connection(('h', 1))", "OSError"),
    "a missing module": ("import numpy", "ModuleNotFoundError"),
    "threads": ("__import__('threading').Thread().start()", "RuntimeError"),
}


@pytest.mark.parametrize(("code", "name"), KINDS.values(), ids=KINDS.keys())
def test_refusal_is_of_the_kind_programs_catch(python: Image, code: str, name: str) -> None:
    assert python.run(f"try:\n    {code}\nexcept {name}:\n    caught = True\ncaught").value is True


WORKS = {
    "a missing module is just absent": ("import importlib.util\nimportlib.util.find_spec('numpy')", None),
    "no such path": ("import os\n[os.path.exists('/etc/passwd'), os.getcwd()]", [False, "/"]),
    "no environment": ("import os\ndict(os.environ)", {}),
    "an own environment": ("import os\nos.environ['A'] = 'b'\nos.getenv('A')", "b"),
    "a database in memory": ("import sqlite3\nsqlite3.connect(':memory:').execute('select 1 + 1').fetchall()", [[2]]),
    "a zip in memory": (
        "import io, zipfile\nb = io.BytesIO()\nwith zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED) as z:\n    z.writestr('a', 'x')\nzipfile.ZipFile(b).read('a').decode()",
        "x",
    ),
    "a spooled file": (
        "import tempfile\nwith tempfile.SpooledTemporaryFile() as f:\n    f.write(b'x'); f.seek(0); y = f.read().decode()\ny",
        "x",
    ),
    "clock information": (
        "import time\n[time.get_clock_info(n).monotonic for n in ('time', 'monotonic', 'perf_counter', 'process_time')]",
        [False, True, True, True],
    ),
    "the platform": (
        "import platform\n[platform.python_version_tuple()[:2], platform.machine()]",
        [["3", "14"], "wasm32"],
    ),
    "the locale": ("import locale\nlocale.getpreferredencoding()", "UTF-8"),
    "a lock": ("import threading\nwith threading.Lock(), threading.RLock(): x = 1\nx", 1),
    "a thread's queue": ("import queue\nq = queue.Queue(); q.put(1); q.get()", 1),
    "thread locals": ("import threading\nl = threading.local(); l.x = 1; l.x", 1),
    "a fixed time zone": ("import datetime\nstr(datetime.timezone.utc)", "UTC"),
    "unittest": (
        "import unittest\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(1, 1)\nunittest.main(exit=False).result.wasSuccessful()",
        True,
    ),
    "doctest": ("import doctest\ndoctest.testmod().failed", 0),
    "tracemalloc": ("import tracemalloc\ntracemalloc.start(); tracemalloc.stop()", None),
    "a profile": ("import cProfile\np = cProfile.Profile(); p.runcall(sum, [1, 2])", 3),
    "help": ("import pydoc\npydoc.render_doc(len)[:6]", "Python"),
}


@pytest.mark.parametrize(("code", "expected"), WORKS.values(), ids=WORKS.keys())
def test_works(python: Image, code: str, expected: object) -> None:
    outcome = python.run(code)
    assert outcome.error is None
    assert outcome.trap is None
    assert outcome.value == expected


_PROBES = ("()", "(0)", "(1)", "('x')", "(0, b'x')", "('a', 'b')", "(1, 1)", "('.', 0)", "('x', 0, 0)", "(2, 0, 0)")


@pytest.mark.parametrize("module", ["os", "time", "signal", "select", "sys", "gc", "locale", "threading", "socket"])
def test_no_function_of_a_module_traps(python: Image, module: str) -> None:
    left_out = {"sys": {"exit", "_clear_internal_caches", "setprofile", "settrace", "call_tracing"}}.get(module, set())
    names = python.run(
        f"import {module} as m\n[n for n in dir(m) if callable(getattr(m, n)) and not isinstance(getattr(m, n), type)"
        " and not n.startswith('__')]"
    ).value
    trapped = {}
    for name in sorted(set(names) - left_out):
        calls = "\n".join(f"try:\n    m.{name}{arguments}\nexcept BaseException:\n    pass" for arguments in _PROBES)
        outcome = python.run(f"import {module} as m\n{calls}\n1", seconds=5)
        if outcome.trap is not None:
            trapped[name] = outcome.trap.strip().split("\n")[-1]
    assert trapped == {}


HOSTILE = {
    "no streams": "import sys\ndel sys.stdout, sys.stderr\nprint('x')\n1 / 0",
    "streams of None": "import sys\nsys.stdout = sys.stderr = None\nprint('x')\n1",
    "a raising stream": "import sys\nclass S:\n    def write(self, t): raise ValueError\nsys.stdout = S()\nprint('x')",
    "a raising hook": "import sys\nsys.excepthook = sys.unraisablehook = None\nclass A:\n    def __del__(self): 1 / 0\nA()\n1",
    "no modules": "import sys\nsys.modules.clear()\n1",
    "no builtins": "__builtins__.__dict__.clear()\n1",
    "no base exception": "import builtins\nbuiltins.BaseException = builtins.Exception = None\n1 / 0",
    "an own outcome": "import wit_world\nclass WitWorld:\n    pass\nwit_world.WitWorld = None\n1",
    "a broken encoder": "import json\njson.JSONEncoder.encode = json.dumps = None\n{'a': 1}",
    "a broken task": "import asyncio\nasyncio.Task = asyncio.Future = None\nasync def f(): return 1\nawait f()",
    "a stopped loop": "import asyncio\nloop = asyncio.get_running_loop()\nloop.stop(); loop.close()\nawait asyncio.sleep(0)\n1",
    "frames": "import sys\nf = sys._getframe()\nwhile f:\n    f.f_locals.clear() if isinstance(f.f_locals, dict) else None\n    f = f.f_back\n1",
    "a result that lies": "class L(list):\n    def __iter__(self): raise SystemExit\n    def __len__(self): return -1\nL()",
    "a dict that lies": "class D(dict):\n    def items(self): return 5\nD(a=1)",
    "a str that lies": "class S(str):\n    def encode(self, *a): return 7\n    def __str__(self): return 7\nS('x')",
    "a weakref storm": "import weakref\nclass A: pass\nx = [weakref.finalize(A(), print, n) for n in range(10)]\n1",
    "an exit in a finaliser": "class A:\n    def __del__(self): raise SystemExit(3)\nA()\n1",
    "an async generator left open": "async def g():\n    try:\n        yield 1\n    finally:\n        print('closed')\nasync for x in g():\n    break\nx",
    "half a program": "def f(:\n",
    "not a program": "ls -la | grep x",
}


@pytest.mark.parametrize("code", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_program_gets_an_outcome(python: Image, code: str) -> None:
    outcome = python.run(code)
    assert outcome.trap is None
    assert outcome.raw[0] in "01"


def test_floods_are_cut_inside(python: Image) -> None:
    outcome = python.run("print('x' * 50_000_000)", max_log_line_bytes=1000)
    assert [len(line) for line in outcome.lines] == [1000]


def test_entropy_floods_are_asked_for_in_small_pieces(python: Image) -> None:
    outcome = python.run("import os\nlen(os.urandom(300_000))")
    assert outcome.value == 300_000
    assert max(outcome.host.random_calls) <= 65536
