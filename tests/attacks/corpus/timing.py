"""A clock that could measure the host, and what could stand in for one: shared memory, threads, the collector."""

# ruff: noqa: E501 (one program a line)

from tests.attacks.attack import ERROR, OK, Attack, javascript, python

_SPIN = "for (let i = 0; i < 3e5; i++);"
_PY_SPIN = "for _ in range(10 ** 5): pass"

ATTACKS: dict[str, Attack] = {
    "js performance.now": javascript(f"const a = performance.now(); {_SPIN} performance.now() - a", OK, result="0"),
    "js Date": javascript(
        f"const a = Date.now(); {_SPIN} [Date.now() - a, new Date() - a, +Date().length > 0]", OK, result="[0,0,true]"
    ),
    "js a timer as a clock": javascript(
        "let n = 0, t = setInterval(() => n++, 0); for (let i = 0; i < 3e5; i++); clearInterval(t); n", OK, result="0"
    ),
    "js a microtask as a clock": javascript(
        "let n = 0, on = true; (async () => { while (on) { n++; await null; } })(); for (let i = 0; i < 3e5; i++); on = false; n",
        OK,
        result="1",
    ),
    "js stamps of events": javascript(
        f"const s = () => new AbortController().signal; const a = s(); {_SPIN} typeof a.timeStamp",
        OK,
        result='"undefined"',
    ),
    "js shared memory": javascript("new SharedArrayBuffer(8)", ERROR),
    "js shared memory of WebAssembly": javascript(
        "new WebAssembly.Memory({ initial: 1, maximum: 1, shared: true })", ERROR
    ),
    "js threads": javascript("new Worker('x')", ERROR),
    "js the collector": javascript(
        "[typeof WeakRef, typeof FinalizationRegistry, typeof gc]", OK, result='["undefined","undefined","undefined"]'
    ),
    "js Atomics.wait": javascript("Atomics.wait(new Int32Array(8), 0, 0, 100)", ERROR),
    "py time": python(
        f"import time\nc = (time.time_ns, time.monotonic_ns, time.perf_counter_ns, time.process_time_ns, time.thread_time_ns)\nc = [f for f in c if f]\na = [f() for f in c]\n{_PY_SPIN}\n[f() - b for f, b in zip(c, a)]",
        OK,
        result="[0,0,0,0,0]",
    ),
    "py clock_gettime": python(
        f"import time\na = time.clock_gettime_ns(time.CLOCK_MONOTONIC)\n{_PY_SPIN}\ntime.clock_gettime_ns(time.CLOCK_MONOTONIC) - a",
        OK,
        ERROR,
        result="0",
    ),
    "py times": python(f"import os\na = os.times()\n{_PY_SPIN}\nlist(os.times()) == list(a)", OK, result="true"),
    "py times past the guest": python(
        f"import posix\na = posix.times()\n{_PY_SPIN}\nlist(posix.times()) == list(a)", OK, result="true"
    ),
    "py datetime": python(
        f"import datetime\na = datetime.datetime.now()\n{_PY_SPIN}\n(datetime.datetime.now() - a).total_seconds()",
        OK,
        result="0.0",
    ),
    "py the loop's clock": python(
        f"import asyncio\nl = asyncio.get_event_loop()\na = l.time()\n{_PY_SPIN}\nl.time() - a", OK, result="0.0"
    ),
    "py a database's clock": python(
        f"import sqlite3\nc = sqlite3.connect(':memory:')\nq = \"SELECT julianday('now')\"\na = c.execute(q).fetchone()\n{_PY_SPIN}\nc.execute(q).fetchone() == a",
        OK,
        result="true",
    ),
    "py a profiler": python(
        "import cProfile\np = cProfile.Profile()\np.runcall(sum, range(10 ** 5))\nimport pstats\npstats.Stats(p).total_tt",
        OK,
        result="0.0",
    ),
    "py the collector's clock": python(
        "import gc\ngc.collect()\n[s['collections'] >= 0 for s in gc.get_stats()][0]", OK, result="true"
    ),
    "py threads": python("import threading\nthreading.Thread(target=print).start()", ERROR),
    "py a timer thread": python("import threading\nthreading.Timer(0.01, print).start()", ERROR),
    "py the switch interval": python("import sys\nsys.setswitchinterval(1e-9)\n1", OK, result="1"),
    "py shared memory": python("from multiprocessing import shared_memory", ERROR),
    "py a million random bytes": python(
        "import os\nlen(os.urandom(3_000_000))", OK, result="3000000", limits={"cpu_ms": 2_000}
    ),
    "py random bytes without end": python("import os\nwhile True: os.urandom(3_000_000)", "limit_cpu"),
}
