"""Making the host busy or waiting: host calls without end, without answer, and answers that nobody asked for."""

# ruff: noqa: E501 (one program a line)

from tests.attacks.attack import ACTIVE, CALLS, CPU, ERROR, OK, WALL, Attack, javascript, python

_WIT = "import wit_world as w\n"
_SOON = {"wall_ms": 250}

ATTACKS: dict[str, Attack] = {
    "js a tight loop of calls": javascript("for (;;) await codemode.x.y({})", ERROR),
    "js a tight loop of calls, caught": javascript(
        "for (;;) { try { await codemode.x.y({}); } catch {} }", CPU, ACTIVE
    ),
    "js a tight loop of calls nobody awaits": javascript(
        "for (;;) { codemode.x.y({}).catch(() => {}); await null; }", CALLS, CPU, ACTIVE
    ),
    "js a call that never finishes": javascript("await fetch(inputs.site + '/silent')", WALL, limits=_SOON),
    "js calls that never finish": javascript(
        "await Promise.all(Array.from({ length: 20 }, () => fetch(inputs.site + '/silent')))", WALL, limits=_SOON
    ),
    "js a call left behind": javascript("fetch(inputs.site + '/silent'); 1", OK, result="1"),
    "js calls left behind, spinning": javascript(
        "for (let i = 0; i < 20; i++) fetch(inputs.site + '/silent'); for (;;);", CPU
    ),
    "js a call given up": javascript(
        "try { await fetch(inputs.site + '/silent', { signal: AbortSignal.timeout(20) }) } catch (e) { e.name }",
        OK,
        result='"TimeoutError"',
    ),
    "js an answer after the deadline": javascript(
        "const f = fetch(inputs.site + '/rates.json'); await new Promise((r) => setTimeout(r, 60000)); await f",
        WALL,
        limits=_SOON,
    ),
    "js an interval beside a call": javascript(
        "setInterval(() => {}, 1); await fetch(inputs.site + '/silent')", WALL, ACTIVE, CPU, limits=_SOON
    ),
    "js calls in a timer": javascript(
        "setInterval(() => { codemode.x.y({}).catch(() => {}); }, 0); await new Promise(() => {})",
        CALLS,
        WALL,
        CPU,
        ACTIVE,
        limits=_SOON,
    ),
    "js a call from a getter of the result": javascript(
        "({ get a() { codemode.x.y({}); return 1; } })", OK, result='{"a":1}'
    ),
    "js a thenable that waits for a call": javascript(
        "({ then(r) { fetch(inputs.site + '/silent').then(r); } })", WALL, limits=_SOON
    ),
    "js timers far away": javascript(
        "setTimeout(() => {}, 2 ** 53); setTimeout(() => {}, Infinity); setTimeout(() => {}, NaN); setTimeout(() => {}, -1); await new Promise(() => {})",
        WALL,
        ERROR,
        limits=_SOON,
    ),
    "py a tight loop of calls": python("while True: await codemode.x.y()", ERROR),
    "py a tight loop of calls, caught": python(
        "while True:\n  try: await codemode.x.y()\n  except Exception: pass", CPU, ACTIVE
    ),
    "py a call that never finishes": python("await fetch(inputs['site'] + '/silent')", WALL, limits=_SOON),
    "py a blocking call that never finishes": python(
        "import requests\nrequests.get(inputs['site'] + '/silent')", WALL, limits=_SOON
    ),
    "py calls that never finish": python(
        "import asyncio\nawait asyncio.gather(*[fetch(inputs['site'] + '/silent') for _ in range(20)])",
        WALL,
        limits=_SOON,
    ),
    "py a call left behind": python("fetch(inputs['site'] + '/silent')\n1", OK, result="1"),
    "py a call given up": python(
        "import asyncio\ntry: await asyncio.wait_for(fetch(inputs['site'] + '/silent'), 0.02)\nexcept TimeoutError: r = 'given up'\nr",
        OK,
        result='"given up"',
    ),
    "py calls given up": python(
        "import asyncio\nfor _ in range(15): asyncio.ensure_future(fetch(inputs['site'] + '/silent')).cancel()\n1",
        OK,
        result="1",
    ),
    "py an answer after the deadline": python(
        "import asyncio\nf = fetch(inputs['site'] + '/rates.json')\nawait asyncio.sleep(60)\nawait f",
        WALL,
        limits=_SOON,
    ),
    "py a flood of waits": python(f"{_WIT}while True: w.wait(0)", CPU, ACTIVE, WALL),
    "py a flood of sleeps": python("import time\nwhile True: time.sleep(0)", CPU, ACTIVE, WALL),
    "py a flood of short sleeps": python("import time\nwhile True: time.sleep(1e-9)", CPU, ACTIVE, WALL),
    "py a wait for ever": python(f"{_WIT}w.wait(2 ** 64 - 1)", WALL, limits=_SOON),
    "py a wait for 292 years": python(f"{_WIT}w.wait(2 ** 63 - 1)", WALL, limits=_SOON),
    "py waits for calls never made": python(f"{_WIT}[w.wait(10 ** 6) for _ in range(3)]", OK, result='["","",""]'),
    "py waits from nested loops": python(
        "import asyncio\nasync def f(n):\n  if n: asyncio.run(f(n - 1))\n  await asyncio.sleep(0.001)\nawait f(20)\n1",
        OK,
        ERROR,
        result="1",
    ),
    "py an answer taken from the loop": python(
        f"{_WIT}import asyncio\nf = asyncio.ensure_future(codemode.x.y())\nw.wait(10 ** 9)\nawait f",
        WALL,
        ERROR,
        limits=_SOON,
    ),
    "py answers that were made up": python(
        "from lockgate.host import calls\ncalls._pending[1] = lambda ok, p: print('x')\ncalls._pending.clear()\ncalls.wait(10 ** 6)",
        OK,
        result="false",
    ),
    "py a call from __del__": python(
        "class A:\n  def __del__(self): codemode.x.y()\na = A()\ndel a\n1", OK, result="1"
    ),
    "py a call from __repr__": python(
        "class A:\n  def __repr__(self):\n    import asyncio\n    return repr(asyncio.run(codemode.x.y()))\nprint(A())",
        ERROR,
    ),
    "py a call while handling its end": python(
        "import requests\nwhile True:\n  try: requests.get(inputs['site'] + '/silent')\n  except BaseException: pass",
        WALL,
        limits=_SOON,
    ),
}
