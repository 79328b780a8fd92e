"""Leaving something behind: one program leaves, the next one looks. What the look must give is JSON."""

# ruff: noqa: E501 (one program a line)

from dataclasses import dataclass

from runtime.client import Language


@dataclass(frozen=True, kw_only=True, slots=True)
class Residue:
    """`leave` may end however it likes; `look`, run right after, gives `clean`."""

    language: Language
    leave: str
    look: str
    clean: str


def _javascript(leave: str, look: str, clean: str) -> Residue:
    return Residue(language="javascript", leave=leave, look=look, clean=clean)


def _python(leave: str, look: str, clean: str) -> Residue:
    return Residue(language="python", leave=leave, look=look, clean=clean)


RESIDUES: dict[str, Residue] = {
    "js global": _javascript("globalThis.left = 1", "typeof left", '"undefined"'),
    "js prototype": _javascript(
        "Object.prototype.left = 1; Array.prototype.left = 1", "[({}).left ?? null, [].left ?? null]", "[null,null]"
    ),
    "js builtin": _javascript(
        "JSON.stringify = () => '\"left\"'; Math.max = () => 'left'", "[JSON.stringify(1), Math.max(1, 2)]", '["1",2]'
    ),
    "js inputs": _javascript("globalThis.inputs = 'left'", "inputs", "null"),
    "js codemode": _javascript("globalThis.codemode = 'left'", "typeof codemode", '"function"'),
    "js timer": _javascript(
        "setInterval(() => console.log('left'), 1); 1", "await new Promise((r) => setTimeout(r, 20)); 1", "1"
    ),
    "js call": _javascript(
        "fetch('http://a.test/').then(() => console.log('left'), () => console.log('left')); 1",
        "await new Promise((r) => setTimeout(r, 20)); 1",
        "1",
    ),
    "js symbol": _javascript("Symbol.for('left').description", "Symbol.keyFor(Symbol('left')) ?? null", "null"),
    "js regular expression": _javascript(
        "/left/.test('left')",
        "[RegExp.$1 ?? null, RegExp.lastMatch ?? null].every((x) => x === null || x === '')",
        "true",
    ),
    "js memory": _javascript(
        "const a = new Uint8Array(4e6).fill(0xAB); 1", "new Uint8Array(4e6).every((b) => b === 0)", "true"
    ),
    "js trap": _javascript(
        "globalThis.left = 1; const a = []; for (;;) a.push(new Uint8Array(1e6))", "typeof left", '"undefined"'
    ),
    "js end of time": _javascript("globalThis.left = 1; for (;;);", "typeof left", '"undefined"'),
    "js log": _javascript("console.log('left'); console.group?.()", "console.log('x'); 1", "1"),
    "py global": _python("left = 1", "'left' in globals()", "false"),
    "py builtin": _python(
        "import builtins\nbuiltins.left = 1\nbuiltins.len = lambda x: 'left'",
        "import builtins\n[hasattr(builtins, 'left'), len([1])]",
        "[false,1]",
    ),
    "py module": _python(
        "import sys, json\nsys.modules['left'] = sys\njson.left = 1\njson.dumps = None",
        "import sys, json\n['left' in sys.modules, hasattr(json, 'left'), json.dumps(1)]",
        '[false,false,"1"]',
    ),
    "py guest": _python(
        "import lockgate.execution as e\ne.left = 1\ne._NAMES['left'] = 1",
        "import lockgate.execution as e\n[hasattr(e, 'left'), 'left' in globals()]",
        "[false,false]",
    ),
    "py limits": _python(
        "import sys\nsys.setrecursionlimit(123)\nsys.set_int_max_str_digits(0)",
        "import sys\n[sys.getrecursionlimit() != 123, sys.get_int_max_str_digits()]",
        "[true,4300]",
    ),
    "py environment": _python(
        "import os\nos.environ['LEFT'] = '1'\nos.putenv('LEFT', '1')",
        "import os\n[os.environ.get('LEFT'), os.getenv('LEFT')]",
        "[null,null]",
    ),
    "py task": _python(
        "import asyncio\nasync def f():\n  while True:\n    try: await asyncio.sleep(0.001)\n    finally: print('left')\nasyncio.ensure_future(f())\nawait asyncio.sleep(0)\n1",
        "import asyncio\nawait asyncio.sleep(0.02)\nlen(asyncio.all_tasks())",
        "1",
    ),
    "py atexit": _python("import atexit\natexit.register(print, 'left')\n1", "1", "1"),
    "py line without an end": _python("import sys\nsys.stdout.write('left')\nwhile True: pass", "print('x')\n1", "1"),
    "py hook": _python(
        "import sys\nsys.settrace(lambda *a: print('left'))\nsys.excepthook = print\nsys.meta_path.clear()",
        "import sys\n[sys.gettrace(), len(sys.meta_path) > 0]",
        "[null,true]",
    ),
    "py context": _python(
        "import decimal\ndecimal.getcontext().prec = 3\nimport contextvars\ncontextvars.ContextVar('left').set(1)",
        "import decimal, contextvars\n[decimal.getcontext().prec, len([v for v in contextvars.copy_context() if v.name == 'left'])]",
        "[28,0]",
    ),
    "py random state": _python(
        "import random\nrandom.seed(1)", "import random\nrandom.random() == random.Random(1).random()", "false"
    ),
    "py memory": _python("a = bytearray(b'\\xab') * 20_000_000\n1", "bytes(20_000_000).count(0)", "20000000"),
    "py trap": _python(
        "import builtins, json\nbuiltins.left = 1\njson.loads('[' * 100000)",
        "import builtins\nhasattr(builtins, 'left')",
        "false",
    ),
    "py end of time": _python(
        "import builtins\nbuiltins.left = 1\nwhile True: pass", "import builtins\nhasattr(builtins, 'left')", "false"
    ),
    "py exit": _python("import posix\nposix._exit(0)", "1", "1"),
    "py database": _python(
        "import sqlite3\nsqlite3.connect('file:left?mode=memory&cache=shared', uri=True).execute('CREATE TABLE t (a)')",
        "import sqlite3\nsqlite3.connect('file:left?mode=memory&cache=shared', uri=True).execute('SELECT count(*) FROM sqlite_master').fetchone()[0]",
        "0",
    ),
}
