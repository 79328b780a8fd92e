"""Reaching for what is not there, and breaking what is: the language's own parts, the prelude, the interpreter."""

# ruff: noqa: E501 (one program a line)

from tests.attacks.attack import CPU, ERROR, MEMORY, OK, RESULT, STACK, TRAPPED, Attack, javascript, python

_ABSENT = [
    "require",
    "process",
    "module",
    "exports",
    "global",
    "Deno",
    "Bun",
    "std",
    "os",
    "scriptArgs",
    "bjson",
    "WebAssembly",
    "SharedArrayBuffer",
    "Atomics",
    "WeakRef",
    "FinalizationRegistry",
    "lockgate",
    "native",
    "primordials",
    "internals",
    "print",
    "gc",
    "Worker",
    "XMLHttpRequest",
    "WebSocket",
    "EventSource",
    "localStorage",
    "sessionStorage",
    "indexedDB",
    "importScripts",
    "document",
    "window",
    "navigator",
    "__filename",
    "__dirname",
    "loadScript",
    "evalScript",
    "detachArrayBuffer",
    "drainJobQueue",
    "readFile",
    "Java",
    "load",
]

# Whatever is done to the language, the program's own value comes out, and is told by nobody else.
_BROKEN = {
    "JSON": "JSON.stringify = () => '\"fake\"'; JSON.parse = () => 'fake'; delete globalThis.JSON;",
    "then": "Promise.prototype.then = () => { throw 1; }; Promise.prototype.catch = Promise.prototype.finally = null;",
    "Promise": "Object.defineProperty(Promise.prototype, 'constructor', { get() { throw 1; } }); globalThis.Promise = class { };",
    "species of promises": "Object.defineProperty(Promise, Symbol.species, { value: function () { throw 1; } });",
    "prototype of promises": "Object.setPrototypeOf(Promise.prototype, null);",
    "call, apply and bind": "for (const n of ['call', 'apply', 'bind', 'toString']) Function.prototype[n] = () => { throw 1; }; Reflect.apply = null;",
    "iterators": "Array.prototype[Symbol.iterator] = () => { throw 1; }; Object.getPrototypeOf([][Symbol.iterator]?.name ? {} : {}).next = 1;",
    "get and set of every object": "for (const n of ['get', 'set', 'value', 'writable', 'enumerable', 'configurable']) Object.prototype[n] = () => 'fake';",
    "elements of every array": "for (const n of ['0', '1', '2', 'length']) Object.defineProperty(Object.prototype, n, { set() { throw 1; }, get() { return 'fake'; }, configurable: true });",
    "elements of array's prototype": "Object.defineProperty(Array.prototype, '0', { set() { throw 1; }, get() { return 'fake'; } });",
    "text": "for (const n of Object.getOwnPropertyNames(String.prototype)) if (n !== 'constructor' && n !== 'length') String.prototype[n] = () => 'fake';",
    "arrays": "for (const n of Object.getOwnPropertyNames(Array.prototype)) if (n !== 'length') Array.prototype[n] = () => { throw 1; };",
    "objects": "for (const n of Object.getOwnPropertyNames(Object)) try { Object[n] = () => { throw 1; }; } catch { }",
    "regular expressions": "RegExp.prototype.exec = () => { throw 1; }; Object.defineProperty(RegExp.prototype, 'flags', { get() { throw 1; } });",
    "errors": "Error.prototype.toString = () => { throw 1; }; Error.prepareStackTrace = () => { throw 1; }; Error.captureStackTrace = null; Error.stackTraceLimit = 1e9; Object.defineProperty(Error.prototype, 'stack', { get() { throw 1; } });",
    "console": "globalThis.console = { log() { throw 1; } }; ",
    "methods of console": "console.log = console.error = console.warn = () => { throw 1; };",
    "codemode": "globalThis.codemode = new Proxy({}, { get() { throw 1; } }); globalThis.tools = globalThis.codemode;",
    "timers": "globalThis.setTimeout = globalThis.queueMicrotask = () => { throw 1; };",
    "numbers": "Number.prototype.toString = Number.prototype.valueOf = () => 'fake'; Object.prototype.valueOf = () => 'fake';",
    "maps": "for (const C of [Map, Set, WeakMap]) for (const n of Object.getOwnPropertyNames(C.prototype)) try { C.prototype[n] = () => { throw 1; }; } catch { }",
    "reflection": "for (const n of Object.getOwnPropertyNames(Reflect)) Reflect[n] = () => { throw 1; };",
    "proxies": "globalThis.Proxy = null; globalThis.Symbol = null;",
    "prototype of functions": "Object.setPrototypeOf(Function.prototype, null);",
    "prototype of objects": "Object.setPrototypeOf(Array.prototype, null); Object.setPrototypeOf(Error.prototype, null);",
    "everything is frozen": "Object.freeze(globalThis); Object.freeze(Object.prototype); Object.freeze(Array.prototype); Object.freeze(Promise.prototype);",
    "everything is gone": "for (const n of Object.getOwnPropertyNames(globalThis)) try { delete globalThis[n]; } catch { }",
    "inputs": "globalThis.inputs = null; ",
}

# `await` itself reads a promise's constructor: the language's own rule.
_SELF_HARM = {"Promise": (ERROR,)}
_UNBROKEN_CALLS = {
    "then",
    "Promise",
    "species of promises",
    "prototype of promises",
    "prototype of functions",
    "everything is gone",
    "elements of every array",
    "proxies",
}

# As above, in Python: what must come out when only a module's names were changed.
_PY_BROKEN = {
    "json": "import json\njson.dumps = json.loads = json.JSONEncoder.encode = None",
    "sys.modules": "import sys\nsys.modules.clear()",
    "the guest's modules": "import sys\nfor n in [n for n in sys.modules if n.startswith('lockgate')]: del sys.modules[n]",
    "streams": "import sys\nsys.stdout = sys.stderr = sys.__stdout__ = None",
    "hooks": "import sys\nsys.excepthook = sys.unraisablehook = sys.displayhook = None\nsys.meta_path.clear()\nsys.path_hooks.clear()",
    "asyncio": "import asyncio\nasyncio.run = asyncio.sleep = asyncio.gather = asyncio.Future = None",
    "the collector": "import gc\ngc.disable()\ngc.set_threshold(0)\ngc.unfreeze()",
    "signals": "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)",
    "codemode": "codemode = None\nToolError = None\ninputs = None",
    "recursion limit": "import sys\nsys.setrecursionlimit(100)",
    "main": "import sys\nsys.modules['__main__'] = None",
}

ATTACKS: dict[str, Attack] = {
    **{f"js {name} is absent": javascript(f"typeof {name}", OK, result='"undefined"') for name in _ABSENT},
    **{
        f"js broken {name}": javascript(f"{code} 3", OK, *_SELF_HARM.get(name, ()), result="3")
        for name, code in _BROKEN.items()
    },
    **{f"js broken {name}, and thrown": javascript(f"{code} throw 'x'", ERROR) for name, code in _BROKEN.items()},
    **{
        f"js broken {name}, and a call": javascript(
            f"const m = codemode, i = inputs, f = fetch; {code} f(i.site + '/rates.json').then; (async () => {{ try {{ await m.x.y({{}}); }} catch (e) {{ return e.code; }} }})()",
            OK,
            ERROR,
            result='"not_found"',
        )
        for name, code in _BROKEN.items()
        if name not in _UNBROKEN_CALLS
    },
    **{
        f"js module {name}": javascript(f"await import('{name}')", ERROR)
        for name in (
            "std",
            "os",
            "fs",
            "node:fs",
            "./x.js",
            "/etc/passwd",
            "http://a.test/x.js",
            "data:text/javascript,1",
            "lockgate",
            "prelude",
        )
    },
    "js static import": javascript("import * as std from 'std'; export default std", ERROR),
    "js import.meta": javascript("export default JSON.stringify(import.meta)", OK, ERROR),
    "js stack frames": javascript(
        "Error.prepareStackTrace = (e, s) => s; const s = new Error().stack; typeof s === 'string' ? 'text' : s.some((f) => f.getThis || f.getFunction)",
        OK,
    ),
    "js frames of the prelude": javascript(
        "let s; try { codemode() } catch (e) { s = e.stack } /prelude|lockgate/.test(s)",
        OK,
        result="false",
    ),
    "js callers": javascript("function f() { return f.caller ?? null } (() => f())()", OK, ERROR, result="null"),
    "js arguments of the caller": javascript(
        "JSON.stringify({ toJSON() { return arguments.callee?.caller ?? null } })", OK, ERROR, result='"null"'
    ),
    "js source of the prelude": javascript(
        "[fetch, setTimeout, console.log, codemode.a.b, URL].some((f) => /native\\.|primordials|lockgate/.test(Function.prototype.toString.call(f)))",
        OK,
        result="false",
    ),
    "js constructor of a tool": javascript("codemode.constructor.constructor('return this')", ERROR, OK),
    "js constructor of a function": javascript(
        "typeof codemode.a.b.constructor('return this')().lockgate", OK, result='"undefined"'
    ),
    "js own names of codemode": javascript(
        "[Object.getOwnPropertyNames(codemode), Reflect.ownKeys(codemode.x)]", OK, ERROR
    ),
    "js prototype of codemode": javascript(
        "try { Object.setPrototypeOf(codemode, null) } catch {} try { codemode.a = 1 } catch {} try { delete codemode.a } catch {} typeof codemode.a.b",
        OK,
        result='"function"',
    ),
    "js polluted prototype": javascript("Object.prototype.then = function (r) { r('fake'); }; ({ a: 1 })", OK),
    "js polluted toJSON": javascript("Object.prototype.toJSON = () => 'fake'; 3", OK, result="3"),
    "js polluted error": javascript(
        "Object.prototype.limit = 'memory'; Object.prototype.call = { code: 'limit', details: { limit: 'host_calls' } }; throw new Error('x')",
        ERROR,
    ),
    "js an error that claims a limit": javascript(
        "const e = new Error('x'); e.limit = 'memory'; e.call = { code: 'limit' }; throw e", ERROR
    ),
    "js an error that claims memory": javascript("throw new InternalError('out of memory')", ERROR, MEMORY),
    "js an error that claims the stack": javascript(
        "throw new RangeError('Maximum call stack size exceeded')", ERROR, STACK
    ),
    "js a result that claims to be finished": javascript("({ ok: 1, then: 3, toString: null, valueOf: null })", OK),
    "js an array with a tampered length": javascript(
        "const a = []; a.length = 4294967295; a", CPU, RESULT, ERROR, MEMORY
    ),
    "js detached buffers": javascript(
        "const b = new ArrayBuffer(8), v = new Uint8Array(b); structuredClone(b, { transfer: [b] }); v[0] = 1; v.length",
        OK,
        ERROR,
    ),
    "js getters that shrink": javascript(
        "const a = new Array(1000).fill(1); a[0] = { valueOf() { a.length = 0; return 1; } }; a.sort(); a.map(Number).length",
        OK,
    ),
    "js comparator that shrinks": javascript(
        "const a = Array.from({ length: 1000 }, (_, i) => i); a.sort(() => { a.length = 0; return -1; }); 1",
        OK,
        result="1",
    ),
    "js resized while it is read": javascript(
        "const b = new ArrayBuffer(1000, { maxByteLength: 2000 }), v = new Uint8Array(b); v.fill({ valueOf() { b.resize(0); return 1; } }); v.length",
        OK,
        ERROR,
    ),
    "js a regular expression out of bounds": javascript(
        "const r = /a/y; r.lastIndex = 2 ** 53; r.test('a') || 'x'.at(2 ** 40) === undefined", OK, result="true"
    ),
    "js a generator inside itself": javascript("let g; g = (function* () { yield g.next(); })(); g.next()", ERROR),
    **{f"py broken {name}": python(f"{code}\n3", OK, result="3") for name, code in _PY_BROKEN.items()},
    **{
        f"py broken {name}, and raised": python(f"{code}\nraise ValueError", ERROR) for name, code in _PY_BROKEN.items()
    },
    **{
        f"py module {name}": python(f"import {name}", ERROR)
        for name in (
            "ctypes",
            "_ctypes",
            "mmap",
            "resource",
            "pwd",
            "_posixsubprocess",
            "multiprocessing.shared_memory",
            "fcntl",
            "pty",
            "ssl",
            "nowhere",
        )
    },
    "py environment": python("import os\ndict(os.environ)", OK, result="{}"),
    "py environment of the C library": python("import posix\nlen(posix.environ)", OK, result="0"),
    "py a file": python("open('/etc/passwd')", ERROR),
    "py a file past the guest": python("import posix\nposix.open('/etc/passwd', 0)", ERROR),
    "py io.open_code": python("import io\nio.open_code('/etc/passwd')", ERROR),
    "py a folder": python("import os\nos.listdir('/')", ERROR),
    "py a file by its number": python("import _io\n_io.open(1, 'wb', closefd=False).write(b'x')", ERROR, OK),
    "py import from disk": python("import sys\nsys.path.insert(0, '/usr/lib/python3')\nimport pip", ERROR),
    "py a loader of files": python(
        "from importlib.machinery import SourceFileLoader\nSourceFileLoader('x', '/etc/passwd').load_module()", ERROR
    ),
    "py a loader of libraries": python(
        "from importlib.machinery import ExtensionFileLoader\nfrom importlib.util import spec_from_file_location, module_from_spec\nmodule_from_spec(spec_from_file_location('x', '/lib/x.so', loader=ExtensionFileLoader('x', '/lib/x.so')))",
        ERROR,
    ),
    "py a socket": python("import socket\nsocket.create_connection(('127.0.0.1', 80))", ERROR),
    "py a socket past the guest": python("import _socket\n_socket.socket()", ERROR),
    "py a name past the guest": python("import _socket\n_socket.getaddrinfo('localhost', 80)", ERROR),
    "py a process": python("import subprocess\nsubprocess.run(['true'])", ERROR),
    "py os._exit": python("import os\nos._exit(0)", ERROR),
    "py os.abort": python("import os\nos.abort()", ERROR),
    "py posix._exit": python("import posix\nposix._exit(0)", ERROR),
    "py posix.abort": python("import posix\nposix.abort()", TRAPPED),
    "py posix.write": python("import posix\nposix.write(2, b'x')", ERROR, OK),
    "py posix.read": python("import posix\nposix.read(0, 100)", ERROR, OK),
    "py exit": python("import sys\nsys.exit(3)", ERROR),
    "py exit with a value that loops": python(
        "class A:\n  def __str__(self):\n    while True: pass\nraise SystemExit(A())", CPU, ERROR
    ),
    "py KeyboardInterrupt": python("raise KeyboardInterrupt", ERROR),
    "py GeneratorExit": python("raise GeneratorExit", ERROR),
    "py faulthandler": python("import faulthandler\nfaulthandler.enable()\n1", OK, ERROR),
    "py faulthandler's crash": python("import faulthandler\nfaulthandler._sigsegv()", ERROR),
    "py faulthandler's timer": python(
        "import faulthandler\nfaulthandler.dump_traceback_later(0.01, exit=True)\n1", ERROR
    ),
    "py a signal": python("import signal\nsignal.raise_signal(9)", ERROR),
    "py a signal past the guest": python("import _signal\n_signal.raise_signal(9)", ERROR, TRAPPED),
    "py a signal's alarm": python("import signal\nsignal.setitimer(signal.ITIMER_REAL, 0.01)", ERROR),
    "py a thread past the guest": python("import _thread\n_thread.start_new_thread(print, ())", ERROR),
    "py a subinterpreter": python("import _interpreters", ERROR),
    "py the guest again": python("import wit_world, entry\nlen(entry.WitWorld().run('{}')) > 0", OK, result="true"),
    "py the guest again and again": python(
        'import entry\nw = entry.WitWorld()\ndef f(*a): return w.run(\'{"code": "import __main__"}\')\nwhile True: f()',
        CPU,
        ERROR,
        MEMORY,
    ),
    "py frames of the guest": python(
        "import sys\nf = sys._getframe()\nwhile f.f_back: f = f.f_back\nf.f_globals['execution'] = None\n3", OK, ERROR
    ),
    "py names of the guest": python(
        "import lockgate.execution as e\nfor n in list(vars(e)): setattr(e, n, None)\n3", OK, ERROR
    ),
    "py limits of the guest": python(
        "from lockgate.limits import limits\nlimits.max_result_bytes = limits.max_call_bytes = limits.max_log_line_bytes = 10 ** 12\n'x' * 10 ** 5",
        RESULT,
    ),
    "py an encoder of the guest": python("import lockgate.execution as e\ne.to_json = lambda v: '4'\n3", OK),
    "py a cache that is gone": python("import linecache\nlinecache.cache = None\n3", OK, ERROR),
    "py builtins that are gone": python("import builtins\nvars(builtins).clear()", OK, ERROR),
    "py builtins that lie": python(
        "import builtins\nbuiltins.len = lambda x: 0\nbuiltins.isinstance = lambda *a: True\nbuiltins.str = builtins.BaseException = None\n3",
        OK,
        ERROR,
        CPU,
    ),
    "py classes that are patched": python(
        "import asyncio\nasyncio.Future.__init__ = asyncio.Task.__step = None\nawait asyncio.sleep(0)\n3", OK, ERROR
    ),
    "py an error that claims a limit": python("class MemoryError(Exception): pass\nraise MemoryError", ERROR),
    "py an error that is a real MemoryError": python("raise MemoryError", MEMORY),
    "py an error that claims a failed call": python(
        "raise ToolError('x', code='limit', details={'limit': 'cpu_ms', 'value': 1})", ERROR
    ),
    "py all objects": python(
        "import gc\nlen(gc.get_objects()) + len(gc.get_referrers(gc.get_objects)) > 0", OK, result="true"
    ),
    "py all classes": python("len([c for c in object.__subclasses__()]) > 100", OK, result="true"),
    "py code that is made up": python(
        "f = lambda: 0\nf.__code__ = f.__code__.replace(co_code=bytes([255, 255] * 50))\nf()",
        ERROR,
        OK,
        CPU,
        MEMORY,
        TRAPPED,
        STACK,
    ),
    "py constants out of bounds": python(
        "import opcode\nf = lambda: 0\nf.__code__ = f.__code__.replace(co_code=bytes([opcode.opmap['LOAD_CONST'], 255, opcode.opmap['RETURN_VALUE'], 0]))\nf()",
        ERROR,
        OK,
        TRAPPED,
        CPU,
        MEMORY,
        STACK,
    ),
    "py stack out of bounds": python(
        "import opcode\nf = lambda: 0\nf.__code__ = f.__code__.replace(co_code=bytes([opcode.opmap['POP_TOP'], 0] * 5000 + [opcode.opmap['RETURN_VALUE'], 0]))\nf()",
        ERROR,
        OK,
        TRAPPED,
        CPU,
        MEMORY,
        STACK,
    ),
    "py unmarshalled code": python("import marshal\nexec(marshal.loads(b'c' + b'\\xff' * 200))", ERROR, TRAPPED),
    "py unpickled code": python("import pickle\npickle.loads(b'cos\\nsystem\\n(S\"true\"\\ntR.')", ERROR),
    "py a database that loads code": python(
        "import sqlite3\nc = sqlite3.connect(':memory:')\nc.enable_load_extension(True)\nc.load_extension('/lib/x')",
        ERROR,
    ),
    "py a database in a file": python(
        "import sqlite3\nc = sqlite3.connect(':memory:')\nc.execute(\"ATTACH '/tmp/x.db' AS x\")\nc.execute('CREATE TABLE x.t (a)')",
        ERROR,
    ),
    "py a database's own files": python(
        "import sqlite3\nsqlite3.connect(':memory:').execute(\"VACUUM INTO '/tmp/x.db'\")", ERROR
    ),
    "py a database's temporary files": python(
        "import sqlite3\nc = sqlite3.connect(':memory:')\nc.execute('PRAGMA temp_store = 1')\nc.execute('CREATE TEMP TABLE t AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 20000) SELECT x FROM c ORDER BY -x')\n1",
        OK,
        ERROR,
        CPU,
        MEMORY,
    ),
    "py a database from _sqlite3": python("import _sqlite3\n_sqlite3.connect('/tmp/x.db')", ERROR),
    "py XML from outside": python(
        "import xml.sax\nxml.sax.parseString('<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>', xml.sax.ContentHandler())\n1",
        OK,
        ERROR,
    ),
    "py a terminal": python("import os\nos.get_terminal_size()", ERROR),
    "py a temporary file": python("import tempfile\ntempfile.mkstemp()", ERROR),
    "py the process's own words": python("import os, sys\n[os.getpid() > 0, sys.executable, sys.argv]", OK, ERROR),
}
