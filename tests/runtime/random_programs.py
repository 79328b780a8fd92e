"""Random programs in both languages: calls, gatherings, races, timers, randomness, clocks, log lines, limits."""

from hypothesis import strategies as st

_JS_HEAD = """
const out = [];
const sleep = ms => new Promise(done => setTimeout(done, ms, ms));
const told = error => [error.name, error.code ?? error.message];
"""
_PYTHON_HEAD = """
import asyncio, gc, random, time
out = []
def told(error):
    return [type(error).__name__, str(error)]
async def after(seconds):
    await asyncio.sleep(seconds)
    return seconds
async def first(*things):
    done, rest = await asyncio.wait([asyncio.ensure_future(each) for each in things], return_when="FIRST_COMPLETED")
    for each in rest:
        each.cancel()
    return sorted((str(each.exception() or each.result()) for each in done))
async def gathered(*things):
    return [str(each) for each in await asyncio.gather(*things, return_exceptions=True)]
async def late(thing):
    try:
        out.append(["late", await thing])
    except Exception as error:
        out.append(told(error))
"""

numbers = st.integers(0, 4)
_JS_THING = st.one_of(
    numbers.map(lambda n: f"codemode.t.get({{n: {n}}})"),
    numbers.map(lambda n: f"sleep({n})"),
    st.just("codemode.t.fail({})"),
)
_PYTHON_THING = st.one_of(
    numbers.map(lambda n: f"codemode.t.get(n={n})"),
    numbers.map(lambda n: f"after({n / 1e3})"),
    st.just("codemode.t.fail()"),
)


def _caught_js(expression: str) -> str:
    return f"try {{ out.push({expression}); }} catch (error) {{ out.push(told(error)); }}"


def _caught_python(expression: str) -> str:
    return f"try:\n    out.append({expression})\nexcept Exception as error:\n    out.append(told(error))"


_JS_STEP = st.one_of(
    _JS_THING.map(lambda thing: _caught_js(f"await {thing}")),
    st.tuples(st.sampled_from(["all", "allSettled", "race", "any"]), st.lists(_JS_THING, min_size=1, max_size=4)).map(
        lambda drawn: _caught_js(f"await Promise.{drawn[0]}([{', '.join(drawn[1])}])")
    ),
    _JS_THING.map(lambda thing: f"{thing}.then(v => out.push(['late', v]), error => out.push(told(error)));"),
    _JS_THING.map(lambda thing: f"if (Date.now() % 2) {_caught_js(f'await {thing}')}"),
    st.just("out.push(await Promise.race([codemode.t.never({}), sleep(1)]));"),
    numbers.map(lambda n: f"console.log('line {n}', Date.now(), out.length);"),
    st.just("out.push(Math.random(), crypto.randomUUID(), performance.now());"),
    st.just("await 0; out.push([...new Set(out.map(String))].length);"),
    st.just(_caught_js("await codemode.t.get({big: 'x'.repeat(5000)})")),
    st.just("for (let i = 0, s = 0; i < 20000; i++) s += i;"),
)
_PYTHON_STEP = st.one_of(
    _PYTHON_THING.map(lambda thing: _caught_python(f"await {thing}")),
    st.lists(_PYTHON_THING, min_size=1, max_size=4).map(
        lambda things: _caught_python(
            f"[str(each) for each in await asyncio.gather({', '.join(things)}, return_exceptions=True)]"
        )
    ),
    st.lists(_PYTHON_THING, min_size=1, max_size=4).map(
        lambda things: _caught_python(f"await first({', '.join(things)})")
    ),
    _PYTHON_THING.map(lambda thing: f"asyncio.ensure_future(late({thing}))"),
    _PYTHON_THING.map(lambda thing: f"if time.time_ns() // 10**6 % 2:\n    out.append(str(await first({thing})))"),
    st.just("out.append(await first(codemode.t.never(), after(0.001)))"),
    numbers.map(lambda n: f"print('line {n}', time.time_ns(), len(out))"),
    st.just("out.append([random.random(), time.monotonic(), hash(str(out))])"),
    st.just("out.append([id(object()), gc.get_count(), gc.get_stats()])"),
    numbers.map(lambda n: f"time.sleep({n / 1e3})"),
    st.just(_caught_python("await codemode.t.get(big='x' * 5000)")),
    st.just("junk = [[i] for i in range(3000)]; junk.append(junk)"),
)


def _programs(head: str, step: st.SearchStrategy[str], end: str) -> st.SearchStrategy[str]:
    return st.lists(step, min_size=2, max_size=10).map(lambda steps: "\n".join([head, *steps, end]))


PROGRAMS = {
    "javascript": _programs(_JS_HEAD, _JS_STEP, "return out"),
    "python": _programs(_PYTHON_HEAD, _PYTHON_STEP, "out"),
}
