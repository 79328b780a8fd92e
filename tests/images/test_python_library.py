"""The whole standard library imports, but for what cannot work."""

# ruff: noqa: E501 (programs in tables are one line each)

import hmac
import sys

import pytest

from tests.images.python_host import Image, python

__all__ = ["python"]

# Module, or package with a dot behind it, and why it is not there.
MISSING = {
    "asyncio.__main__": "needs _remote_debugging",
    "asyncio.tools": "needs _remote_debugging",
    "asyncio.windows_events": "Windows",
    "asyncio.windows_utils": "Windows",
    "bz2": "C library not in componentize-py's CPython",
    "compression.bz2": "C library not in componentize-py's CPython",
    "compression.lzma": "C library not in componentize-py's CPython",
    "compression.zstd": "C library not in componentize-py's CPython",
    "compression.zstd._zstdfile": "C library not in componentize-py's CPython",
    "concurrent.futures.interpreter": "one interpreter",
    "concurrent.interpreters": "one interpreter",
    "concurrent.interpreters._crossinterp": "one interpreter",
    "concurrent.interpreters._queues": "one interpreter",
    "dbm.gnu": "C library not in componentize-py's CPython",
    "dbm.ndbm": "C library not in componentize-py's CPython",
    "encodings.bz2_codec": "C library not in componentize-py's CPython",
    "encodings.mbcs": "Windows",
    "encodings.oem": "Windows",
    "lzma": "C library not in componentize-py's CPython",
    "pty": "no terminal",
    "ssl": "TLS is done outside",
    "tty": "no terminal",
    "unittest.__main__": "runs tests when imported",
    "_pyrepl.fancy_termios": "no terminal",
    "_pyrepl.readline": "no terminal",
    "_pyrepl.simple_interact": "no terminal",
    "_pyrepl.unix_console": "no terminal",
    "_pyrepl.unix_eventqueue": "no terminal",
    "_pyrepl.windows_console": "Windows",
}
# Top-level names of the running Python's library that the image does not have at all.
ABSENT = {
    "ctypes": "no foreign code",
    "curses": "no terminal",
    "ensurepip": "nothing can be installed",
    "fcntl": "no files",
    "grp": "no users",
    "idlelib": "no screen",
    "mmap": "no files",
    "msvcrt": "Windows",
    "nt": "Windows",
    "posixshmem": "no shared memory",
    "pwd": "no users",
    "readline": "no terminal",
    "resource": "limits are kept outside",
    "syslog": "no system log",
    "termios": "no terminal",
    "tkinter": "no screen",
    "turtle": "no screen",
    "turtledemo": "no screen",
    "venv": "nothing can be installed",
    "winreg": "Windows",
    "winsound": "Windows",
}
# Gone in 3.14 itself.
REMOVED: set[str] = set()


def test_every_module_of_the_library_imports(python: Image) -> None:
    names = python.run("from lockgate import library\nlibrary.names()").value
    assert len(names) > 500
    code = """
import contextlib, importlib, io
failed = {}
for name in inputs:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            importlib.import_module(name)
    except BaseException as error:
        failed[name] = str(error)
failed
"""
    failed = {}
    for start in range(0, len(names), 60):
        outcome = python.run(code, inputs=names[start : start + 60])
        assert outcome.trap is None
        failed.update(outcome.value)
    assert set(failed) == set(MISSING), failed


def test_every_public_name_of_the_library_is_there_or_known_missing(python: Image) -> None:
    known = set(MISSING) | set(ABSENT) | REMOVED
    names = sorted(name for name in sys.stdlib_module_names if not name.startswith("_") and name not in known)
    code = """
import importlib
missing = []
for name in inputs:
    try:
        importlib.import_module(name)
    except ImportError as error:
        missing.append(str(error))
missing
"""
    assert python.run(code, inputs=names).value == []


@pytest.mark.parametrize("name", sorted(set(ABSENT) - {"nt", "posixshmem"}))
def test_an_absent_module_says_why(python: Image, name: str) -> None:
    error = python.run(f"import {name}").error
    assert error is not None
    assert error["name"] == "ModuleNotFoundError"
    assert f"No module named '{name}': " in error["message"]


USES = {
    "json": ("import json\njson.loads(json.dumps({'a': [1, None]}))", {"a": [1, None]}),
    "csv": ("import csv, io\nlist(csv.DictReader(io.StringIO('a,b\\n1,2')))", [{"a": "1", "b": "2"}]),
    "xml": ("import xml.etree.ElementTree as E\nE.fromstring('<a><b>x</b></a>').find('b').text", "x"),
    "html": ("import html.parser, html\nhtml.unescape('&amp;')", "&"),
    "hashlib": ("import hashlib\nhashlib.sha256(b'').hexdigest()[:8]", "e3b0c442"),
    "hmac": ("import hmac\nhmac.new(b'k', b'm', 'sha256').hexdigest()", hmac.new(b"k", b"m", "sha256").hexdigest()),
    "zlib": ("import zlib\nzlib.decompress(zlib.compress(b'x')).decode()", "x"),
    "gzip": ("import gzip\ngzip.decompress(gzip.compress(b'x')).decode()", "x"),
    "decimal": ("from decimal import Decimal\nstr(Decimal('0.1') + Decimal('0.2'))", "0.3"),
    "statistics": ("import statistics\nstatistics.median([1, 3, 2])", 2),
    "re": ("import re\nre.sub(r'(\\w)(\\d)', r'\\2\\1', 'a1')", "1a"),
    "email": ("import email\nemail.message_from_string('Subject: x\\n\\ny')['subject']", "x"),
    "tomllib": ("import tomllib\ntomllib.loads('a = 1')", {"a": 1}),
    "difflib": ("import difflib\ndifflib.get_close_matches('appel', ['ape', 'apple'])", ["apple", "ape"]),
    "unicodedata": ("import unicodedata\nunicodedata.name('\u00e9')", "LATIN SMALL LETTER E WITH ACUTE"),
    "codecs": ("'\u3042'.encode('shift_jis').hex()", "82a0"),
    "struct": ("import struct\nstruct.unpack('<I', b'\\1\\0\\0\\0')", [1]),
    "resources": ("import importlib.resources\nimportlib.resources.files('lockgate') is not None", True),
    "template": ("import string\nstring.Template('$a').substitute(a=1)", "1"),
    "tarfile": (
        "import io, tarfile\nb = io.BytesIO()\nt = tarfile.open(fileobj=b, mode='w:gz')\nt.close()\nlen(b.getvalue()) > 0",
        True,
    ),
    "xmlrpc": ("import xmlrpc.client\nxmlrpc.client.loads(xmlrpc.client.dumps((1,)))[0]", [1]),
    "sqlite3": ("import sqlite3\nsqlite3.connect(':memory:').execute('select sqlite_version() > 3').fetchone()", [1]),
}


@pytest.mark.parametrize(("code", "expected"), USES.values(), ids=USES.keys())
def test_use(python: Image, code: str, expected: object) -> None:
    outcome = python.run(code)
    assert outcome.error is None
    assert outcome.value == expected
