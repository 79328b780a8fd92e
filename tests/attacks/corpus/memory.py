"""Memory: at once, slowly, doubled, in pieces, and after it was refused."""

# ruff: noqa: E501 (one program a line)

from tests.attacks.attack import ACTIVE, BIG, CPU, ERROR, MEMORY, OK, RESULT, Attack, javascript, python

_ROOM = {"cpu_ms": 700}

_JAVASCRIPT = {
    "array buffer": "new ArrayBuffer(2 ** 31)",
    "typed array": "new Float64Array(2 ** 28)",
    "resizable buffer": "const b = new ArrayBuffer(8, { maxByteLength: 2 ** 31 }); b.resize(2 ** 31 - 1)",
    "text": "'x'.repeat(2 ** 29)",
    "padding": "'x'.padEnd(2 ** 29)",
    "array": "new Array(2 ** 32 - 1).fill(1)",
    "concatenation": "let a = [1]; for (;;) a = a.concat(a)",
    "text that doubles": "let s = 'x'; for (;;) s = s + s + '';",
    "wide text that doubles": "let s = '\\u{1F600}'; for (;;) { s = s + s; s.indexOf('y'); }",
    "slow growth": "const a = []; for (;;) a.push('x'.repeat(1000) + a.length)",
    "small objects": "const a = []; for (;;) a.push({ a: 1 })",
    "closures": "const a = []; for (;;) { const n = a.length; a.push(() => n); }",
    "map": "const m = new Map(); for (let i = 0; ; i++) m.set(i, {})",
    "properties": "const o = {}; for (let i = 0; ; i++) o['p' + i] = i",
    "symbols": "const a = []; for (;;) a.push(Symbol('x'.repeat(100)))",
    "big integer": "2n ** (2n ** 29n)",
    "big integer that doubles": "let n = 3n; for (;;) n = n * n",
    "promises": "for (;;) Promise.resolve().then(() => {})",
    "rejections": "for (;;) Promise.reject(new Error('x'))",
    "timers": "for (;;) setTimeout(() => {}, 1e9)",
    "typed arrays": "const a = []; for (;;) a.push(new Uint8Array(100000))",
    "text from an array": "new Array(2 ** 26).join('x')",
    "replacement": "'x'.repeat(1e6).replace(/x/g, 'y'.repeat(1000))",
    "split": "'x'.repeat(2 ** 24).split('')",
    "encoder": "new TextEncoder().encode('x'.repeat(2 ** 26))",
    "JSON": "JSON.stringify(new Array(2 ** 24).fill(1))",
    "indentation": "let a = []; for (let i = 0; i < 2000; i++) a = [a]; for (const b = [];;) b.push(JSON.stringify(a, null, 10))",
    "regular expression": "new RegExp('(?:(?:a{1,1000}){1,1000}){1,1000}').test('a'.repeat(1e6)); 'x'.repeat(2 ** 29)",
    "matches": "'x'.repeat(2 ** 23).match(/x/g)",
    "generators": "const a = []; function* g() { yield new Array(100); } for (;;) { const i = g(); i.next(); a.push(i); }",
    "arguments": "const f = (...a) => f(...a, ...a); f(1, 2, 3, 4)",
    "code": "for (const a = [];;) a.push(new Function('return ' + 'x+'.repeat(1000) + 'x'))",
}

_PYTHON = {
    "bytearray": "bytearray(10 ** 10)",
    "bytes": "bytes(2 ** 31 - 100)",
    "text": "'x' * 10 ** 10",
    "list": "[0] * 10 ** 9",
    "list that multiplies": "a = [0]\nwhile True: a *= 2",
    "text that doubles": "s = 'x'\nwhile True: s = s + s",
    "wide text that doubles": "s = '\\U0001F600'\nwhile True: s += s",
    "slow growth": "a = []\nwhile True: a.append('x' * 1000 + str(len(a)))",
    "small objects": "a = []\nwhile True: a.append(object())",
    "lists in lists": "a = []\nwhile True: a.append([])",
    "dict": "d = {}\nwhile True: d[len(d)] = ()",
    "attributes": "class A: pass\na = A()\nn = 0\nwhile True:\n  n += 1\n  setattr(a, f'p{n}', n)",
    "interned names": "import sys\na = []\nwhile True: a.append(sys.intern('x' * 100 + str(len(a))))",
    "shifted integer": "1 << 10 ** 10",
    "memoryview": "memoryview(bytearray(2 ** 30))",
    "array": "import array\narray.array('Q', [0]) * 10 ** 9",
    "padding": "'x'.ljust(10 ** 9)",
    "percent": "'%1000000000d' % 1",
    "format": "f'{1:>1000000000}'",
    "join": "'x' .join(['y' * 1000] * 10 ** 6)",
    "replacement": "('x' * 10 ** 6).replace('x', 'y' * 1000)",
    "translation": "('x' * 10 ** 6).translate({120: 'y' * 1000})",
    "split": "('x ' * 10 ** 7).split()",
    "product": "import itertools\nlist(itertools.product(range(10 ** 5), repeat=4))",
    "permutations": "import itertools\nlist(itertools.permutations(range(20)))",
    "range": "list(range(10 ** 18))",
    "set": "set(range(10 ** 9))",
    "decompression": "import zlib\nc = zlib.compressobj(9)\nd = b''.join(c.compress(b'\\0' * 10 ** 6) for _ in range(200)) + c.flush()\nlen(zlib.decompress(d))",
    "database": "import sqlite3\nlen(sqlite3.connect(':memory:').execute('SELECT zeroblob(900000000)').fetchone()[0])",
    "rows of a database": "import sqlite3\nc = sqlite3.connect(':memory:')\nc.execute('CREATE TABLE t (x)')\nwhile True: c.execute('INSERT INTO t VALUES (randomblob(100000))')",
    "BytesIO": "import io\nb = io.BytesIO()\nb.seek(10 ** 9)\nb.write(b'x')",
    "StringIO": "import io\nb = io.StringIO()\nwhile True: b.write('x' * 10 ** 5)",
    "base64": "import base64\nlen(base64.b64encode(bytes(4 * 10 ** 7)))",
    "encoding": "len(('\\u20ac' * 2 * 10 ** 7).encode())",
    "generators": "a = []\ndef g(): yield [0] * 100\nwhile True:\n  x = g()\n  next(x)\n  a.append(x)",
    "tasks": "import asyncio\nwhile True: asyncio.create_task(asyncio.sleep(1e9))",
    "timers": "import asyncio\nl = asyncio.get_running_loop()\nwhile True: l.call_later(1e9, print)",
    "classes": "a = []\nwhile True: a.append(type('A', (), {}))",
    "code": "a = []\nwhile True: a.append(compile('x+' * 500 + 'x', 'x', 'eval'))",
    "dict that is copied": "d = dict.fromkeys(range(10 ** 4))\na = []\nwhile True: a.append(d.copy())",
    "unpacking": "def f(*a): return f(*a, *a)\nf(1, 2, 3, 4)",
    "matrix": "[[0] * 10 ** 4 for _ in range(10 ** 5)]",
    "decimal": "import decimal\nc = decimal.Context(prec=decimal.MAX_PREC)\nc.divide(1, 3)",
    "fractions": "from fractions import Fraction\nx = Fraction(3, 2)\nwhile True: x = x * x",
    "tracebacks": "a = []\nwhile True:\n  try: 1 / 0\n  except Exception as e: a.append((e, [0] * 100))",
}

ATTACKS: dict[str, Attack] = {
    **{f"js {name}": javascript(code, *BIG, CPU, ACTIVE, limits=_ROOM) for name, code in _JAVASCRIPT.items()},
    **{f"py {name}": python(code, *BIG, CPU, ACTIVE, limits=_ROOM) for name, code in _PYTHON.items()},
    "js caught for ever": javascript(
        "const a = []; for (;;) { try { for (;;) a.push(new Array(1000).fill(a.length)); } catch {} }",
        CPU,
        ACTIVE,
        MEMORY,
        limits=_ROOM,
    ),
    "js caught, and on": javascript(
        "let a = []; try { for (;;) a.push(new Uint8Array(1e6)); } catch { a = null; } [1, 2].map((x) => x + 1)",
        OK,
        result="[2,3]",
        limits=_ROOM,
    ),
    "js freed again and again": javascript(
        "for (let i = 0; i < 1000; i++) new Uint8Array(1e7); 1", OK, CPU, result="1", limits=_ROOM
    ),
    "js memory in the result": javascript("({ toJSON: () => 'x'.repeat(2 ** 29) })", *BIG, limits=_ROOM),
    "js memory in an error": javascript("throw new Error('x'.repeat(2e7))", ERROR, MEMORY, limits=_ROOM),
    "js memory in a message": javascript("throw { get message() { return 'x'.repeat(2 ** 29); } }", *BIG, limits=_ROOM),
    "py caught for ever": python(
        "a = []\nwhile True:\n  try:\n    while True: a.append(bytearray(1000))\n  except MemoryError: pass",
        CPU,
        ACTIVE,
        MEMORY,
        limits=_ROOM,
    ),
    "py caught, and on": python(
        "a = []\ntry:\n  while True: a.append(bytearray(10 ** 6))\nexcept MemoryError: a = None\n[x + 1 for x in (1, 2)]",
        OK,
        result="[2,3]",
        limits=_ROOM,
    ),
    "py freed again and again": python(
        "for _ in range(1000): bytearray(10 ** 7)\n1", OK, CPU, result="1", limits=_ROOM
    ),
    "py memory in the result": python(
        "class A(dict):\n  def items(self): return [('a', 'x' * 10 ** 9)]\nA(a=1)", *BIG, RESULT, limits=_ROOM
    ),
    "py memory in an error": python("raise ValueError('x' * 2 * 10 ** 7)", ERROR, MEMORY, limits=_ROOM),
    "py memory in a message": python(
        "class E(Exception):\n  def __str__(self): return 'x' * 10 ** 10\nraise E", *BIG, limits=_ROOM
    ),
    "py memory in __del__": python("class A:\n  def __del__(self): bytearray(10 ** 10)\nA()\n1", OK, result="1"),
}
