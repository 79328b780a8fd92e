"""Determinism, limits, and programs that tamper with what the prelude stands on."""
# ruff: noqa: E501 programs stay on one line

import pytest
import wasmtime

from tests.images.conftest import RunJavaScript
from tests.images.javascript_host import FINISHED, Answer, Call, Guest, failure, run_to_end

MIB = 1 << 20
RANDOM = "[Math.random(), crypto.randomUUID(), [...crypto.getRandomValues(new Uint8Array(8))], Math.random()]"


def echo(call: Call) -> Answer:
    return Answer(call.payload)


def test_only_the_host_functions_are_imported(javascript_module: wasmtime.Module) -> None:
    assert {(i.module, i.name) for i in javascript_module.imports} == {
        ("lockgate", name) for name in ("submit", "log", "done")
    }
    assert {e.name for e in javascript_module.exports} == {"memory", "alloc", "run", "resume"}


def test_same_seed_same_randomness(run: RunJavaScript) -> None:
    assert run(RANDOM, seed=b"s" * 32).value == run(RANDOM, seed=b"s" * 32).value


def test_other_seed_other_randomness(run: RunJavaScript) -> None:
    one, two = run(RANDOM, seed=b"s" * 32).value, run(RANDOM, seed=b"t" * 32).value
    assert all(a != b for a, b in zip(one, two, strict=True))


def test_random_stream_is_chacha20(run: RunJavaScript) -> None:
    """RFC 8439, appendix A.1, vector 1: the first block of an all-zero key and nonce. Math.random takes 8 bytes of it."""
    block = bytes.fromhex(
        "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586"
    )
    assert bytes(run("[...crypto.getRandomValues(new Uint8Array(56))]").value) == block[8:]


def test_warming_leaves_no_trace(javascript_module: wasmtime.Module) -> None:
    program = f"globalThis.x = 1; [{RANDOM}, Date.now(), await codemode.a.b(), setTimeout(() => {{}}, 1), typeof trace, inputs]"
    cold, warm = Guest(javascript_module), Guest(javascript_module)
    warm.run("null", {"secret": 1}, seed=b"w" * 32)
    warm.outcomes.clear()
    for guest in (cold, warm):
        guest.run(program, seed=b"s" * 32)
        run_to_end(guest, echo)
    assert cold.value == warm.value
    assert cold.calls == warm.calls


def test_isolates_share_nothing(run: RunJavaScript) -> None:
    run("globalThis.leak = 1; Array.prototype.leak = 1; 1")
    assert run("[typeof leak, typeof [].leak]").value == ["undefined", "undefined"]


WITHOUT_GLOBALS = (
    "const own = Reflect.ownKeys, g = globalThis;"
    "for (const k of own(g)) if (!['codemode', 'fetch', 'console', 'ReferenceError'].includes(k)) delete g[k];"
)

TAMPERING = {
    "no globals at all": WITHOUT_GLOBALS,
    "JSON": "JSON.stringify = JSON.parse = () => { throw 1 };",
    "JSON object": "globalThis.JSON = undefined;",
    "Promise.prototype.then": "Promise.prototype.then = () => { throw 1 };",
    "Promise": "globalThis.Promise = class {};",
    "Array.prototype": "for (const k of Object.getOwnPropertyNames(Array.prototype)) try { delete Array.prototype[k] } catch {}",
    "iterators": "Array.prototype[Symbol.iterator] = function* () { throw 1 }; String.prototype[Symbol.iterator] = undefined;",
    "iterator next": "Object.getPrototypeOf([][Symbol.iterator]()).next = () => { throw 1 };",
    "index setters": "for (let i = 0; i < 5; i++) "
    "Object.defineProperty(Object.prototype, i, { set() { throw 1 }, get() { throw 1 }, configurable: true });",
    "descriptor fields": "Object.prototype.get = Object.prototype.set = () => { throw 1 }; Object.prototype.writable = 1;",
    # Without `value`, which QuickJS itself sets on the object that carries the last expression's value.
    "field setters": "for (const k of ['next', 'accept', 'refuse', 'reject', 'name', 'href', 'length', 'url', 'body', 'text']) "
    "Object.defineProperty(Object.prototype, k, { __proto__: null, set() { throw 1 }, get() { throw 1 }, configurable: true });",
    "toJSON": "Object.prototype.zz = 1; Array.prototype.toJSON = String.prototype.toJSON = function () { throw 1 };",
    "String.prototype": "for (const k of Object.getOwnPropertyNames(String.prototype)) if (k !== 'length') String.prototype[k] = () => { throw 1 };",
    "RegExp": "RegExp.prototype.exec = RegExp.prototype.test = () => { throw 1 }; RegExp.prototype[Symbol.replace] = () => { throw 1 };",
    "Function.prototype": "for (const k of ['call', 'apply', 'bind']) Function.prototype[k] = () => { throw 1 };",
    "Reflect and Object": "for (const o of [Reflect, Object]) for (const k of Object.getOwnPropertyNames(o)) if (k !== 'prototype') try { o[k] = () => { throw 1 } } catch {}",
    "Proxy, Map, Error": "globalThis.Proxy = globalThis.Map = globalThis.Set = globalThis.Error = globalThis.TypeError = globalThis.Uint8Array = undefined;",
    "typed arrays": "for (const k of ['subarray', 'set', 'slice']) Object.getPrototypeOf(Uint8Array.prototype)[k] = () => { throw 1 };",
    "stack traces": "Error.stackTraceLimit = 0; Error.captureStackTrace = Error.prepareStackTrace = () => { throw 1 };",
    "globals": "globalThis.URL = globalThis.Headers = globalThis.Request = globalThis.Response = globalThis.ToolError = globalThis.globalThis = undefined;",
}


@pytest.mark.parametrize("tampering", TAMPERING.values(), ids=TAMPERING.keys())
def test_tampering_does_not_reach_calls_logs_and_results(run: RunJavaScript, tampering: str) -> None:
    def answer(call: Call) -> Answer:
        if call.name == "a.fails":
            return failure("denied", "no", tool="a.fails")
        if call.kind == 2:
            return Answer(
                {
                    "url": call.payload["url"],
                    "redirected": False,
                    "status": 200,
                    "status_text": "",
                    "headers": [["a", "b"]],
                    "body": "body",
                    "body_base64": False,
                }
            )
        return Answer(7)

    guest = run(
        f"{tampering}\nlet code; const x = await codemode.a.works({{ q: 'v' }});"
        "try { await codemode.a.fails() } catch (e) { code = e.code }"
        "const r = await fetch('https://api.test/p'); const t = await r.text();"
        "console.log('x', 1); x + ' ' + code + ' ' + r.status + ' ' + r.headers.get('a') + ' ' + t",
        answer=answer,
    )
    assert guest.value == "7 denied 200 b body"
    assert guest.logs == [(2, "x 1")]
    assert [(c.name, c.payload) for c in guest.calls[:2]] == [("a.works", {"q": "v"}), ("a.fails", {})]
    assert guest.calls[2].payload["url"] == "https://api.test/p"


@pytest.mark.parametrize("tampering", TAMPERING.values(), ids=TAMPERING.keys())
def test_tampering_does_not_hide_an_error(run: RunJavaScript, tampering: str) -> None:
    error = run(f"const Mine = ReferenceError;\n{tampering}\nthrow new Mine('end')").error
    assert (error["name"], error["message"]) == ("ReferenceError", "end")


def test_the_engines_own_lists_ignore_setters_on_array_prototype(run: RunJavaScript) -> None:
    setter = "Object.defineProperty(Array.prototype, 0, { set() { throw 1 } });"
    assert run(f"{setter} ({{ a: [{{ b: [1] }}] }})").value == {"a": [{"b": [1]}]}
    assert run(f"{setter} Object.groupBy([1, 2, 3], (x) => x % 2)").value == {"0": [2], "1": [1, 3]}
    assert run(f"{setter} await codemode.x.y({{ a: 1 }}); 1", answer=lambda _: Answer(1)).value == 1
    assert "refers back" in run(f"{setter} const a = {{}}; a.a = a; a").error["message"]
    # What the program itself does by assignment still calls it.
    assert run(f"{setter} try {{ [].push(2) }} catch (e) {{ e }}").value == 1


STACKS = {
    "codemode()": "codemode()",
    "set": "codemode.x = 1",
    "arguments": "await codemode.a.b(1)",
    "headers": "new Headers({ 'a b': 1 })",
    "clone": "structuredClone(() => {})",
    "getter": "structuredClone({ get a() { throw new Error('x') } })",
    "timer": "setTimeout(1)",
    "dom": "crypto.getRandomValues(new Uint8Array(1e6))",
}


@pytest.mark.parametrize("program", STACKS.values(), ids=STACKS.keys())
def test_a_stack_has_the_programs_frames_only(run: RunJavaScript, program: str) -> None:
    stack = run(f"let s; try {{ {program} }} catch (e) {{ s = e.stack }} s").value
    frames = stack.splitlines()
    assert frames
    assert all("(program.js:1:" in frame for frame in frames)


def test_an_own_function_called_by_the_prelude_is_a_frame(run: RunJavaScript) -> None:
    program = (
        "let s; const c = new AbortController(); c.signal.onabort = function mine() { s = new Error().stack };\n"
        "c.abort(); s"
    )
    assert [frame.split()[1] for frame in run(program).value.splitlines()] == ["mine", "<eval>"]


def test_no_internal_function_shows_itself(run: RunJavaScript) -> None:
    guest = run(
        """
        const seen = [];
        Error.prepareStackTrace = (e, sites) => { seen.push(...sites); return '' };
        JSON.stringify = (v) => { seen.push(v) };
        Object.prototype.toJSON = function () { seen.push(new Error().stack); return {} };
        try { structuredClone({ get a() { seen.push(arguments.callee.caller); throw 1 } }) } catch {}
        await codemode.a.b({ x: 1 });
        seen.filter((s) => typeof s !== 'string').length""",
        answer=echo,
    )
    assert guest.value == 0


def test_the_web_apis_stand_without_globals(run: RunJavaScript) -> None:
    """Whatever the prelude uses at run time, it took before."""
    guest = run("""
        const { URL, URLSearchParams, TextEncoder, TextDecoder, structuredClone, crypto, Headers, Request, Response, AbortController, AbortSignal,
            EventTarget, setTimeout, performance, console, atob, btoa, Map, Set, Uint8Array, Date, RegExp, Error, DataView } = globalThis;
        const data = { m: new Map([[1, new Set([2])]]), d: new Date(0), r: /x/, e: new Error('e'), u: new Uint8Array(2), v: new DataView(new Uint8Array(2).buffer) };
        const g = globalThis;
        for (const k of Reflect.ownKeys(g)) delete g[k];
        const errors = [];
        const fails = (f) => { try { f(); errors.push('none') } catch (e) { errors.push(e.name) } };
        structuredClone(data);
        console.log(data); console.table([data]); console.error('%s %d', 'x', 1);
        fails(() => structuredClone(() => 1)); fails(() => crypto.getRandomValues(new Uint8Array(1e5))); fails(() => new URL('x'));
        fails(() => new TextDecoder('x')); fails(() => new Headers({ 'a b': 1 })); fails(() => new Request('x')); fails(() => crypto.subtle);
        fails(() => AbortSignal.abort().throwIfAborted()); fails(() => new Response('x', { status: 1 })); fails(() => setTimeout(1));
        const u = new URL('https://a.b/?x=1'); u.searchParams.append('y', '2'); u.searchParams.sort(); new URLSearchParams([['a', 'b']]);
        new TextDecoder().decode(new TextEncoder().encode('é')); crypto.randomUUID();
        const c = new AbortController(); c.signal.addEventListener('abort', () => {}); AbortSignal.any([c.signal]); AbortSignal.timeout(5); c.abort();
        new Request('https://a.b', { method: 'POST', body: u.searchParams }).clone(); Response.json({ a: 1 }).clone(); [...new Headers({ a: '1' })];
        try { await new Response('<').json() } catch (e) { errors.push(e.name) }
        return errors""")
    assert guest.value == [
        "DataCloneError",
        "QuotaExceededError",
        "TypeError",
        "RangeError",
        "TypeError",
        "TypeError",
        "Error",
        "AbortError",
        "RangeError",
        "TypeError",
        "SyntaxError",
    ]


def test_prelude_source_is_not_there(run: RunJavaScript) -> None:
    assert "native code" in run("Function.prototype.toString.call(fetch)").value


def test_globals(run: RunJavaScript) -> None:
    """What a program finds; a new name here is a decision."""
    names = set(run("Object.getOwnPropertyNames(globalThis)").value)
    language = set(
        """Object Function Error EvalError RangeError ReferenceError SyntaxError TypeError URIError InternalError AggregateError
        SuppressedError Iterator Array parseInt parseFloat isNaN isFinite decodeURI decodeURIComponent encodeURI encodeURIComponent escape
        unescape Infinity NaN undefined eval Number Boolean String Math Reflect Symbol DisposableStack AsyncDisposableStack globalThis BigInt Date
        RegExp JSON Proxy Map Set WeakMap WeakSet ArrayBuffer Uint8ClampedArray Int8Array Uint8Array Int16Array Uint16Array Int32Array Uint32Array
        BigInt64Array BigUint64Array Float16Array Float32Array Float64Array DataView Promise""".split()  # noqa: SIM905 a list of forty lines says less
    )
    platform = set(
        """queueMicrotask DOMException btoa atob performance console setTimeout setInterval setImmediate clearTimeout clearInterval
        clearImmediate TextEncoder TextDecoder crypto URL URLSearchParams structuredClone Event EventTarget AbortController AbortSignal Headers
        Request Response fetch""".split()  # noqa: SIM905 a list of forty lines says less
    )
    assert names == language | platform | {"codemode", "emit", "inputs", "results", "store", "ToolError", "FetchError"}


def test_shared_memory_and_the_collector_are_out_of_reach(run: RunJavaScript) -> None:
    assert (
        run("[typeof SharedArrayBuffer, typeof Atomics, typeof WeakRef, typeof FinalizationRegistry]").value
        == ["undefined"] * 4
    )


RECURSION = {
    "function": "function f() { f() } f()",
    "getter": "const o = { get x() { return this.x } }; o.x",
    "toString": "const o = { toString() { return '' + this } }; `${o}`",
    "sort": "function f() { [2, 1].sort(f) } f()",
    "replace": "function f() { 'a'.replace(/a/, f) } f()",
    "proxy": "const p = new Proxy({}, { get: (t, k, r) => r[k] }); p.x",
    "async": "async function f() { await f() } await f()",
    "generator": "function* g() { yield* g() } [...g()]",
    "constructor": "class A { constructor() { new A() } } new A()",
    "JSON.stringify": "let o = []; for (let i = 0; i < 1e5; i++) o = [o]; JSON.stringify(o)",
    "JSON.parse": "JSON.parse('['.repeat(1e5))",
    "toJSON": "const o = { toJSON() { return JSON.stringify(o) } }; JSON.stringify(o)",
    "join": "let o = []; for (let i = 0; i < 1e5; i++) o = [o]; String(o)",
    "clone": "let o = []; for (let i = 0; i < 1e5; i++) o = [o]; structuredClone(o)",
    "eval": "function f() { eval('f()') } f()",
}


@pytest.mark.parametrize("program", RECURSION.values(), ids=RECURSION.keys())
def test_runaway_recursion_is_a_range_error(run: RunJavaScript, program: str) -> None:
    error = run(program).error
    assert (error["name"], error["limit"]) == ("RangeError", "stack")
    assert run(f"try {{ {program} }} catch (e) {{ return e.name }}").value == "RangeError"


def test_ordinary_recursion_has_room(run: RunJavaScript) -> None:
    assert run("const depth = (n) => n === 0 ? 0 : 1 + depth(n - 1); depth(2500)").value == 2500


def test_deep_structures_are_freed(run: RunJavaScript) -> None:
    assert run("let a = []; for (let i = 0; i < 300000; i++) a = [a]; a = null; 1").value == 1


MEMORY = {
    "growing array": "const a = []; for (;;) a.push(new Array(1000).fill(0))",
    "one allocation": "new Uint8Array(1e9)",
    "doubled string": "let s = 'x'; for (;;) s = s + s + '!'.repeat(s.length)",
    "many objects": "let o = {}; for (;;) o = { o }",
    "many strings": "const a = []; for (let i = 0;; i++) a.push('k' + i)",
}


@pytest.mark.parametrize("program", MEMORY.values(), ids=MEMORY.keys())
def test_out_of_memory(run: RunJavaScript, program: str) -> None:
    error = run(program, memory_bytes=32 * MIB).error
    assert error["limit"] == "memory" or "invalid" in error["message"]


def test_out_of_memory_can_be_caught(run: RunJavaScript) -> None:
    assert (
        run(
            "let a = []; try { for (;;) a.push(new Array(1e4).fill(0)) } catch (e) { a = null } 'alive'",
            memory_bytes=32 * MIB,
        ).value
        == "alive"
    )


def test_a_request_that_does_not_fit_traps_after_telling(javascript_module: wasmtime.Module) -> None:
    guest = Guest(javascript_module, memory_bytes=16 * MIB)
    with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError)):
        guest.run("x" * (64 * MIB))
    assert guest.error["limit"] == "memory"


def test_a_url_that_does_not_fit_traps_after_telling(javascript_module: wasmtime.Module) -> None:
    guest = Guest(javascript_module, memory_bytes=32 * MIB)
    with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError)):
        guest.run("new URL('http://a/' + '\\u20ac'.repeat(1e6)).href")
    assert guest.error["limit"] == "memory"


def test_a_url_is_bounded(run: RunJavaScript) -> None:
    long = "'x'.repeat(2 ** 20)"
    for program in (
        f"new URL('http://a/' + {long})",
        f"await fetch('http://a/' + {long})",
        f"new URL('/', 'http://a/' + {long})",
    ):
        error = run(program).error
        assert (error["name"], "at most 1048576 characters" in error["message"]) == ("TypeError", True)
    assert "at most 1048576" in run(f"const u = new URL('http://a/'); u.search = {long} + 'x'").error["message"]
    assert run(f"[URL.canParse('http://a/' + {long}), URL.parse('http://a/' + {long})]").value == [False, None]


def test_malformed_request_traps(javascript_module: wasmtime.Module) -> None:
    guest = Guest(javascript_module)
    with pytest.raises((wasmtime.Trap, wasmtime.WasmtimeError)):
        guest._enter("run", bytes(10))


def test_done_is_called_once(start: RunJavaScript) -> None:
    guest = start("codemode.a.b(); setTimeout(() => console.log('after'), 1); 1")
    assert guest.wait == FINISHED
    assert guest.resume(1, Answer(1), after_ns=10**9) == FINISHED
    assert guest.tick(10**9) == FINISHED
    assert (len(guest.outcomes), guest.logs) == (1, [])


def test_unhandled_rejection_is_told(run: RunJavaScript) -> None:
    guest = run("Promise.reject(new Error('lost')); const p = Promise.reject(1); p.catch(() => {}); 5")
    assert guest.value == 5
    assert [level for level, _ in guest.logs] == [3]
    assert "Error: lost" in guest.logs[0][1]
