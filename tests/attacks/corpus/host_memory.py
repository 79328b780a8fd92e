"""Making the host hold much: log lines, results, names and payloads of host calls, calls that wait, ill-formed text."""

# ruff: noqa: E501 (one program a line)

from tests.attacks.attack import BIG, CALLS, CPU, ERROR, MEMORY, OK, OUTPUT, RESULT, Attack, javascript, python

_TIME = {"cpu_ms": 2_000}  # for those that copy many megabytes: a slow machine is no other end
_WIT = "import wit_world as w\n"

ATTACKS: dict[str, Attack] = {
    "js a million log lines": javascript("for (let i = 0; i < 1e6; i++) console.log(i)", OUTPUT),
    "js a million log lines, caught": javascript(
        "for (let i = 0; i < 1e6; i++) { try { console.error(i); } catch {} }", OUTPUT
    ),
    "js a million lines in one": javascript("console.log('\\n'.repeat(1e6))", OK, OUTPUT),
    "js a log line of 1 GB": javascript("console.log('x'.repeat(1e9))", *BIG),
    "js a log line of 20 MB": javascript("console.log('x'.repeat(2e7)); 1", OK, result="1", limits=_TIME),
    "js a wide log line": javascript("console.log('\\u{1F600}'.repeat(1e6)); 1", OK, result="1"),
    "js many values in a line": javascript(
        "console.log(...new Array(6e4).fill('x'.repeat(100))); 1", OK, MEMORY, result="1"
    ),
    "js a log of an array": javascript("console.log(new Array(1e6).fill({ a: 1 })); 1", OK, result="1"),
    "js a log of a typed array": javascript("console.log(new Uint8Array(1e7)); 1", OK, result="1"),
    "js a table": javascript("console.table?.(new Array(1e5).fill({ a: 1 })); 1", OK, OUTPUT, CPU),
    "js groups": javascript("for (let i = 0; i < 1e5; i++) console.group?.(); console.log('x'); 1", OK, OUTPUT, CPU),
    "js a result of 1 GB": javascript("'x'.repeat(1e9)", *BIG),
    "js a result of 10 MB": javascript("'x'.repeat(1e7)", RESULT, limits={"cpu_ms": 1_000}),
    "js a result that grows in JSON": javascript("'\\u0000'.repeat(1e6)", RESULT, limits={"cpu_ms": 1_000}),
    "js a wide result": javascript("'\\u{1F600}'.repeat(2000)", RESULT),
    "js a result of many values": javascript("new Array(1e6).fill(0)", RESULT, limits={"cpu_ms": 1_000}),
    "js an error of 10 MB": javascript("throw new Error('x'.repeat(1e7))", ERROR),
    "js an error with a long name": javascript(
        "class E extends Error { name = 'x'.repeat(1e6) } throw new E('y')", ERROR
    ),
    "js an error with a long stack": javascript(
        "const e = new Error('y'); e.stack = 'program.js:1:1\\n'.repeat(1e5); throw e", ERROR
    ),
    "js a host call with a huge name": javascript("await codemode['x'.repeat(1e7)].y({})", *BIG, limits=_TIME),
    "js a host call with a huge payload": javascript("await codemode.x.y({ a: 'x'.repeat(1e7) })", ERROR, limits=_TIME),
    "js a host call of many values": javascript("await codemode.x.y({ a: new Array(20000).fill([]) })", ERROR),
    "js a host call of many keys": javascript(
        "const a = {}; for (let i = 0; i < 8000; i++) a[i] = i; await codemode.x.y(a)", ERROR
    ),
    "js a host call of a deep value": javascript(
        "let a = []; for (let i = 0; i < 500; i++) a = [a]; await codemode.x.y({ a })", ERROR
    ),
    "js a fetch with a huge body": javascript(
        "await fetch(inputs.site + '/echo', { method: 'POST', body: 'x'.repeat(1e7) })", ERROR, limits=_TIME
    ),
    "js a fetch with a huge URL": javascript("await fetch(inputs.site + '/echo?' + 'x'.repeat(1e7))", *BIG),
    "js a huge URL": javascript("new URL('http://a/' + '\\u20ac'.repeat(3e6)).href", *BIG),
    "js a fetch with many headers": javascript(
        "const h = {}; for (let i = 0; i < 3000; i++) h['x-' + i] = 'y'; await fetch(inputs.site + '/echo', { headers: h })",
        ERROR,
        OK,
    ),
    "js an answer beyond its limit": javascript("await fetch(inputs.site + '/large/30000000')", ERROR),
    "js answers nobody takes": javascript(
        "for (let i = 0; i < 16; i++) fetch(inputs.site + '/large/200000'); for (;;);", CPU
    ),
    "js a million pending calls": javascript(
        "const p = []; for (let i = 0; i < 1e6; i++) p.push(codemode.x.y({})); await Promise.all(p)", CALLS, CPU, MEMORY
    ),
    "js many pending calls": javascript(
        "await Promise.all(Array.from({ length: 1000 }, () => codemode.x.y({})))", CALLS, ERROR
    ),
    "js many calls whose failure is caught": javascript(
        "(await Promise.allSettled(Array.from({ length: 500 }, () => codemode.x.y({})))).length", OK, result="500"
    ),
    "js calls nobody awaits": javascript(
        "for (let i = 0; i < 15; i++) codemode.x.y({ a: 'x'.repeat(60000) }); 1", OK, result="1"
    ),
    "js lone surrogates in a line": javascript("console.log('a\\ud800b'); 1", OK, result="1"),
    "js lone surrogates in a result": javascript("({ ['\\udfff']: '\\ud800' })", OK),
    "js lone surrogates in an error": javascript("const e = new Error('\\ud800'); e.name = '\\ud801'; throw e", ERROR),
    "js lone surrogates in a name": javascript("await codemode['\\ud800']['\\udc00']({})", ERROR),
    "js lone surrogates in a payload": javascript("await codemode.x.y({ ['\\ud800']: '\\udc00' })", ERROR),
    "js lone surrogates in a URL": javascript("await fetch(inputs.site + '/\\ud800')", ERROR),
    "js lone surrogates in a host": javascript("await fetch('http://\\ud800.test/')", ERROR),
    "js lone surrogates in a method": javascript("await fetch(inputs.site + '/echo', { method: '\\ud800' })", ERROR),
    "js lone surrogates in a header": javascript(
        "await fetch(inputs.site + '/echo', { headers: { a: '\\ud800' } })", ERROR, OK
    ),
    "js lone surrogates in a body": javascript(
        "(await fetch(inputs.site + '/echo', { method: 'POST', body: '\\ud800' })).status", OK, result="200"
    ),
    "js NUL everywhere": javascript(
        "console.log('a\\0b'); try { await codemode['a\\0']['b\\0']({ '\\0': '\\0' }); } catch (e) { if (e.code !== 'not_found') throw e; } '\\0'",
        OK,
        result='"\\u0000"',
    ),
    "js NUL in a URL": javascript("await fetch(inputs.site + '/\\0')", ERROR),
    "js line ends in a header": javascript(
        "await fetch(inputs.site + '/echo', { headers: { a: 'b\\r\\nc: d' } })", ERROR
    ),
    "py a million log lines": python("for i in range(10 ** 6): print(i)", OUTPUT),
    "py a million log lines, caught": python("while True:\n  try: print(1)\n  except BaseException: pass", OUTPUT),
    "py a million lines in one": python("print('\\n' * 10 ** 6)", OUTPUT),
    "py a log line of 1 GB": python("print('x' * 10 ** 9)", *BIG),
    "py a log line of 20 MB": python("print('x' * 2 * 10 ** 7)\n1", OK, MEMORY, result="1"),
    "py a log line without an end": python(
        "import sys\nfor _ in range(20000): sys.stdout.write('x' * 1000)\n1", OK, result="1"
    ),
    "py a wide log line": python("print('\\U0001F600' * 10 ** 6)\n1", OK, result="1"),
    "py a log record": python("import logging\nlogging.error('x' * 10 ** 7)\n1", OK, result="1"),
    "py a warning": python("import warnings\nwarnings.warn('x' * 10 ** 7)\n1", OK, result="1"),
    "py a log line past the guest": python(f"{_WIT}w.log(2, 'x' * 10 ** 7)\n1", OK, result="1"),
    "py a wide log line past the guest": python(
        f"{_WIT}for _ in range(40): w.log(2, '\\U0001F600' * 100)\n1", OK, result="1"
    ),
    "py log lines past the guest": python(f"{_WIT}for _ in range(10 ** 6): w.log(2, 'x')", OUTPUT),
    "py log bytes past the guest": python(f"{_WIT}for _ in range(49): w.log(2, 'x' * 10 ** 5)", OUTPUT),
    "py a result of 1 GB": python("'x' * 10 ** 9", *BIG),
    "py a result of 10 MB": python("'x' * 10 ** 7", RESULT),
    "py a result that grows in JSON": python("'\\0' * 10 ** 6", RESULT),
    "py a wide result": python("'\\U0001F600' * 2000", RESULT),
    "py a result of many values": python("[0] * 10 ** 6", RESULT),
    "py a result past the guest": python(
        "import lockgate.execution as e\ne._end = lambda *a: '1\"' + 'x' * 10 ** 7 + '\"'\n1", RESULT
    ),
    "py a result that is no JSON": python("import lockgate.execution as e\ne._end = lambda *a: '1not JSON'\n1", ERROR),
    "py a result that is no outcome": python("import lockgate.execution as e\ne._end = lambda *a: ''\n1", ERROR),
    "py a result that is NaN": python("import lockgate.execution as e\ne._end = lambda *a: '1NaN'\n1", ERROR),
    "py a result too deep to read": python(
        "import lockgate.execution as e\ne._end = lambda *a: '1' + '[' * 2000 + ']' * 2000\n1", OK, ERROR
    ),
    "py an error past the guest": python(
        "import lockgate.execution as e\ne._end = lambda *a: '0' + 'x' * 10 ** 7\n1", ERROR
    ),
    "py an error with wrong fields": python(
        'import lockgate.execution as e\ne._end = lambda *a: \'0{"name": [], "line": -1, "limit": {}, "call": [1], "stack": 1e400}\'\n1',
        ERROR,
    ),
    "py an error of 10 MB": python("raise ValueError('x' * 10 ** 7)", ERROR),
    "py an error with a long name": python("raise type('x' * 10 ** 6, (Exception,), {})()", ERROR),
    "py a host call with a huge name": python("await codemode['x' * 10 ** 7].y()", ERROR),
    "py a host call with a huge payload": python("await codemode.x.y(a='x' * 10 ** 7)", ERROR),
    "py a host call of many values": python("await codemode.x.y(a=[[]] * 20000)", ERROR),
    "py a host call of many keys": python("await codemode.x.y(**{str(i): i for i in range(8000)})", ERROR),
    "py a huge name past the guest": python(
        f"{_WIT}w.submit(1, 1, 'x' * 10 ** 7, '{{}}')\nw.wait(10 ** 9)[:3]", OK, result='"1 0"'
    ),
    "py a huge payload past the guest": python(
        f"{_WIT}w.submit(1, 1, 'x.y', 'x' * 10 ** 7)\nw.wait(10 ** 9)[:3]", OK, result='"1 0"'
    ),
    "py a payload that is no JSON": python(
        f"{_WIT}w.submit(1, 1, 'x.y', 'x')\n'invalid_argument' in w.wait(10 ** 9)", OK, result="true"
    ),
    "py a payload that is too deep": python(
        f"{_WIT}w.submit(1, 1, 'x.y', '{{\"a\":' * 9000)\n'invalid_argument' in w.wait(10 ** 9)", OK, result="true"
    ),
    "py a payload that is no object": python(
        f"{_WIT}w.submit(1, 2, '', '[1]')\n'invalid_argument' in w.wait(10 ** 9)", OK, result="true"
    ),
    "py a payload of a huge integer": python(
        f"{_WIT}w.submit(1, 1, 'x.y', '{{\"a\":' + '9' * 60000 + '}}')\nw.wait(10 ** 9)[:3]", OK, result='"1 0"'
    ),
    "py a fetch of hostile fields": python(
        f"{_WIT}import json\nfor i, f in enumerate(({{'url': 1}}, {{'url': [[]]}}, {{'url': inputs['site'] + '/echo', 'method': {{}}}}, {{'url': inputs['site'] + '/echo', 'method': 'GET', 'headers': {{'a': 1}}}}, {{'url': inputs['site'] + '/echo', 'method': 'GET', 'headers': [1]}}, {{'url': inputs['site'] + '/echo', 'method': 'GET', 'timeout_ms': 'x'}}, {{'url': inputs['site'] + '/echo', 'method': 'GET', 'timeout_ms': -1}}, {{'url': inputs['site'] + '/echo', 'method': 'GET', 'redirect': []}}, {{'url': inputs['site'] + '/echo', 'method': 'POST', 'body': 'x', 'body_base64': True}}), 1):\n  w.submit(i, 2, '', json.dumps(f))\n  a = w.wait(2 * 10 ** 9)\n  assert a.startswith(f'{{i}} 0') and 'internal' not in a, (i, a)\n1",
        OK,
        result="1",
    ),
    "py a fetch of endless patience": python(
        f"{_WIT}import json\nw.submit(1, 2, '', json.dumps({{'url': inputs['site'] + '/echo', 'timeout_ms': 10 ** 400}}))\nw.wait(10 ** 9)[:3]",
        OK,
        result='"1 1"',
    ),
    "py a fetch of lone surrogates": python(
        f'{_WIT}for i, f in enumerate((\'{{"url": "http://a.test/\\\\ud800"}}\', \'{{"url": "http://\\\\ud800/", "method": "\\\\udfff"}}\', \'{{"url": "http://a.test/", "headers": [["\\\\ud800", "\\\\ud800"]]}}\'), 1):\n  w.submit(i, 2, \'\', f)\n  a = w.wait(2 * 10 ** 9)\n  assert a.startswith(f\'{{i}} 0\'), a\n1',
        OK,
        result="1",
    ),
    "py a call of no kind": python(
        f"{_WIT}for i, k in enumerate((0, 3, 255, 256, 257, 258, 2 ** 31, 2 ** 32 - 1), 1):\n  w.submit(i, k, 'x.y', '{{}}')\n  a = w.wait(10 ** 9)\n  assert a.startswith(f'{{i}} 0') and 'no host call of kind' in a, a\n1",
        OK,
        result="1",
    ),
    "py calls with one number": python(f"{_WIT}for _ in range(5): w.submit(7, 1, 'x.y', '{{}}')", ERROR),
    "py a call numbered nothing": python(f"{_WIT}w.submit(0, 1, 'x.y', '{{}}')", ERROR),
    "py calls numbered as they come": python(
        f"{_WIT}for i in (3, 900, 2 ** 32 - 1): w.submit(i, 1, 'x.y', '{{}}')\nsorted(w.wait(10 ** 9)[:3] for _ in range(3))",
        OK,
        result='["3 0","429","900"]',
    ),
    "py refused calls nobody takes": python(
        f"{_WIT}n, i = 'n' * 500, 0\nwhile True: i += 1; w.submit(i, 1, n, '{{}}')", CALLS
    ),
    "py refused payloads nobody takes": python(
        f"{_WIT}p, i = 'x' * 70000, 0\nwhile True: i += 1; w.submit(i, 1, 'n', p)", CALLS, CPU
    ),
    "py an answer beyond its limit": python("await fetch(inputs['site'] + '/large/30000000')", ERROR),
    "py answers nobody takes": python(
        "for _ in range(16): fetch(inputs['site'] + '/large/200000')\nwhile True: pass", CPU
    ),
    "py a million pending calls": python(
        "import asyncio\nawait asyncio.gather(*[codemode.x.y() for _ in range(10 ** 6)])", CALLS, CPU, MEMORY
    ),
    "py many pending calls": python(
        "import asyncio\nawait asyncio.gather(*[codemode.x.y() for _ in range(1000)])", CALLS, ERROR
    ),
    "py many calls whose failure is caught": python(
        "import asyncio\nlen(await asyncio.gather(*[codemode.x.y() for _ in range(500)], return_exceptions=True))",
        OK,
        result="500",
    ),
    "py lone surrogates in a line": python(
        "print('a\\ud800b')\nimport sys\nsys.stderr.write('\\udfff')\n1", OK, result="1"
    ),
    "py lone surrogates in a record": python("import logging\nlogging.error('\\ud800')\n1", OK, result="1"),
    "py lone surrogates in a result": python("{'\\udfff': '\\ud800'}", OK),
    "py lone surrogates in an error": python("raise type('\\ud800', (Exception,), {})('\\udfff')", ERROR),
    "py lone surrogates in a name": python("await codemode['\\ud800']['\\udfff']()", ERROR),
    "py lone surrogates in a payload": python("await codemode.x.y(**{'\\ud800': '\\udfff'})", ERROR),
    "py lone surrogates in a URL": python("await fetch(inputs['site'] + '/\\ud800')", ERROR),
    "py lone surrogates in a body": python(
        "await fetch(inputs['site'] + '/echo', method='POST', body='\\ud800')\n1", OK, ERROR
    ),
    "py lone surrogates past the guest": python(f"{_WIT}w.log(2, '\\ud800')", ERROR),
    "py numbers past the guest": python(f"{_WIT}w.log(2 ** 32, 'x')", ERROR),
    "py a level that does not exist": python(f"{_WIT}for n in (0, 5, 2 ** 32 - 1): w.log(n, 'x')\n1", OK, result="1"),
    "py NUL everywhere": python(
        "print('a\\0b')\ntry: await codemode['a\\0']['b\\0'](**{'\\0': '\\0'})\nexcept ToolError as e: assert e.code == 'not_found', e\n'\\0'",
        OK,
        result='"\\u0000"',
    ),
    "py NUL in a URL": python("await fetch(inputs['site'] + '/\\0')", ERROR),
    "py line ends in a header": python("await fetch(inputs['site'] + '/echo', headers={'a': 'b\\r\\nc: d'})", ERROR),
}
