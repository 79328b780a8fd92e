"""URL, encodings, structuredClone, crypto, timers, clocks."""
# ruff: noqa: E501 programs stay on one line

import pytest

from tests.images.conftest import RunJavaScript
from tests.images.javascript_host import FINISHED, START_NS, Answer

MS = 1_000_000
VALUES = {
    "url parts": (
        "const u = new URL('https://u:p@Ex.com:8080/a/../b?x=1#h'); [u.href, u.origin, u.protocol, u.username, u.password, u.host, "
        "u.hostname, u.port, u.pathname, u.search, u.hash]",
        [
            "https://u:p@ex.com:8080/b?x=1#h",
            "https://ex.com:8080",
            "https:",
            "u",
            "p",
            "ex.com:8080",
            "ex.com",
            "8080",
            "/b",
            "?x=1",
            "#h",
        ],
    ),
    "url without parts": (
        "const u = new URL('http://a.b'); [u.username, u.password, u.port, u.search, u.hash, u.pathname, u.host]",
        ["", "", "", "", "", "/", "a.b"],
    ),
    "url with empty query": (
        "const u = new URL('http://a.b/?#'); [u.search, u.hash, u.href]",
        ["", "", "http://a.b/?#"],
    ),
    "opaque url": (
        "const u = new URL('mailto:a@b.c?x#y'); [u.origin, u.host, u.pathname, u.search]",
        ["null", "", "a@b.c", "?x"],
    ),
    "file url": ("const u = new URL('file:///c:/x'); [u.host, u.pathname, u.origin]", ["", "/c:/x", "null"]),
    "blob origin": ("new URL('blob:https://a.b/1').origin", "https://a.b"),
    "relative": ("new URL('../c?d', 'https://a.b/x/y/z').href", "https://a.b/x/c?d"),
    "idna and odd hosts": (
        "[new URL('https://bücher.example').host, new URL('http://0x7f.1/').host, new URL('http://[::1]:80/').host]",
        ["xn--bcher-kva.example", "127.0.0.1", "[::1]"],
    ),
    "url setters": (
        "const u = new URL('http://a.b/'); u.protocol = 'https'; u.host = 'c.d:9'; u.pathname = 'p q'; u.search = 'x=y'; u.hash = 'z'; "
        "u.username = 'me'; u.port = ''; u.href",
        "https://me@c.d/p%20q?x=y#z",
    ),
    "canParse, parse": (
        "[URL.canParse('x'), URL.canParse('x', 'http://a'), URL.parse('x'), URL.parse('http://a').href]",
        [False, True, None, "http://a/"],
    ),
    "searchParams are live": (
        "const u = new URL('http://a.b/?x=1'); u.searchParams.append('q', 'é &'); const h = u.href; u.search = '?y=2'; "
        "[h, u.searchParams.get('y'), u.searchParams.has('x')]",
        ["http://a.b/?x=1&q=%C3%A9+%26", "2", False],
    ),
    "searchParams": (
        "const s = new URLSearchParams('?b=2&a=1&b=%zz+%C3%A9&&=e'); s.set('a', 'x'); s.append('c', '\\ud800'); s.sort(); "
        "[[...s], s.getAll('b'), s.size, s.get('nope'), s.toString()]",
        [
            [["", "e"], ["a", "x"], ["b", "2"], ["b", "%zz é"], ["c", "\ufffd"]],
            ["2", "%zz é"],
            5,
            None,
            "=e&a=x&b=2&b=%25zz+%C3%A9&c=%EF%BF%BD",
        ],
    ),
    "searchParams from": (
        "[new URLSearchParams({ a: 1 }) + '', new URLSearchParams([['a', 'b']]) + '', new URLSearchParams(new Map([['c', 'd']])) + '']",
        ["a=1", "a=b", "c=d"],
    ),
    "searchParams delete": (
        "const s = new URLSearchParams('a=1&a=2&b=3'); s.delete('a', '2'); [s + '', s.has('a', '2'), s.has('a')]",
        ["a=1&b=3", False, True],
    ),
    "encode": ("[...new TextEncoder().encode('aé😀\\ud800')]", [97, 195, 169, 240, 159, 152, 128, 239, 191, 189]),
    "encodeInto": (
        "const t = new Uint8Array(4); const r = new TextEncoder().encodeInto('aé😀', t); [r, [...t]]",
        [{"read": 2, "written": 3}, [97, 195, 169, 0]],
    ),
    "decode": (
        "new TextDecoder().decode(new Uint8Array([239, 187, 191, 226, 130, 172, 255, 240, 159]))",
        "€\ufffd\ufffd",
    ),
    "decode maximal subparts": (
        "new TextDecoder().decode(new Uint8Array([0xe0, 0x80, 0xf0, 0x9f, 0x41, 0xed, 0xa0, 0x80]))",
        "\ufffd\ufffd\ufffdA\ufffd\ufffd\ufffd",
    ),
    "decode stream": (
        "const d = new TextDecoder(); let s = ''; for (const b of new TextEncoder().encode('a€😀')) s += d.decode(new Uint8Array([b]), "
        "{ stream: true }); s + d.decode()",
        "a€😀",
    ),
    "decode stream, cut": (
        "const d = new TextDecoder(); d.decode(new Uint8Array([226, 130]), { stream: true }) + d.decode()",
        "\ufffd",
    ),
    "decode utf-16": (
        "new TextDecoder('utf-16le').decode(new Uint8Array([97, 0, 61, 216, 0, 222, 0, 216]))",
        "a😀\ufffd",
    ),
    "decode latin1": ("new TextDecoder('latin1').decode(new Uint8Array([97, 233]))", "aé"),
    "decode part of a buffer": (
        "new TextDecoder().decode(new DataView(new TextEncoder().encode('abcd').buffer, 1, 2))",
        "bc",
    ),
    "base64": ("[btoa('aé'), atob('YWI=')]", ["Yek=", "ab"]),
    "structuredClone": (
        "const a = { d: new Date(0), m: new Map([[{ k: 1 }, new Set([1])]]), r: /x/g, n: [1, , 3], u: undefined, b: 5n }; a.self = a; "
        "const c = structuredClone(a); [c !== a, c.self === c, c.d.getTime(), [...c.m][0][0].k, [...[...c.m][0][1]], c.r.flags, 1 in c.n, "
        "c.n.length, 'u' in c, String(c.b)]",
        [True, True, 0, 1, [1], "g", False, 3, True, "5"],
    ),
    "structuredClone of bytes": (
        "const a = new Uint8Array([1, 2, 3]).subarray(1); const c = structuredClone({ a, b: a.buffer }); "
        "[[...c.a], c.a.buffer === c.b, c.b.byteLength]",
        [[2, 3], True, 3],
    ),
    "structuredClone of errors": (
        "const c = structuredClone(new RangeError('x', { cause: 1 })); [c instanceof RangeError, c.message, c.cause]",
        [True, "x", 1],
    ),
    "uuid": ("/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(crypto.randomUUID())", True),
    "getRandomValues": (
        "const a = new Uint32Array(4); [crypto.getRandomValues(a) === a, a.some((x) => x > 0)]",
        [True, True],
    ),
    "clocks stand still": (
        "const a = [Date.now(), performance.now()]; for (let i = 0; i < 1e5; i++); [Date.now() - a[0], performance.now() - a[1]]",
        [0, 0],
    ),
    "time zone": ("[new Date(0).getTimezoneOffset(), new Date(0).toISOString()]", [0, "1970-01-01T00:00:00.000Z"]),
    "queueMicrotask": ("const o = []; queueMicrotask(() => o.push(2)); o.push(1); await null; o", [1, 2]),
}


@pytest.mark.parametrize(("program", "value"), VALUES.values(), ids=VALUES.keys())
def test_value(run: RunJavaScript, program: str, value: object) -> None:
    assert run(program).value == value


ERRORS = {
    "invalid url": ("new URL('/x')", "TypeError", "invalid URL"),
    "fatal": (
        "new TextDecoder('utf-8', { fatal: true }).decode(new Uint8Array([255]))",
        "TypeError",
        "not valid UTF-8",
    ),
    "fatal utf-16": (
        "new TextDecoder('utf-16le', { fatal: true }).decode(new Uint8Array([0, 216]))",
        "TypeError",
        "not valid UTF-16LE",
    ),
    "unknown encoding": ("new TextDecoder('shift_jis')", "RangeError", "utf-8, utf-16le and latin1"),
    "clone a function": ("structuredClone({ f() {} })", "DataCloneError", "function f"),
    "too much randomness": ("crypto.getRandomValues(new Uint8Array(65537))", "QuotaExceededError", "65536"),
    "random floats": ("crypto.getRandomValues(new Float64Array(1))", "TypeError", "integer typed array"),
    "subtle": ("crypto.subtle.digest", "Error", "crypto.subtle is not available"),
    "atob": ("atob('a')", "InvalidCharacterError", ""),
    "timer without a function": ("setTimeout('code', 1)", "TypeError", "takes a function"),
}


@pytest.mark.parametrize(("program", "name", "words"), ERRORS.values(), ids=ERRORS.keys())
def test_error(run: RunJavaScript, program: str, name: str, words: str) -> None:
    error = run(program).error
    assert error["name"] == name
    assert words in error["message"]


def test_timers_fire_in_order_of_their_due_times(run: RunJavaScript) -> None:
    guest = run("""
        const seen = []; const at = (name, ms) => setTimeout(() => seen.push(name + performance.now()), ms);
        at('c', 20); at('a', 10); at('b', 10); at('zero', 0); clearTimeout(at('never', 5)); setImmediate((x) => seen.push(x), 'now');
        await new Promise((r) => setTimeout(r, 30)); seen""")
    assert guest.value == ["zero0", "now", "a10", "b10", "c20"]


def test_late_timers_fire_in_order_in_one_event_with_microtasks_between(start: RunJavaScript) -> None:
    guest = start("""
        const seen = [];
        setTimeout(() => { seen.push(2) }, 20);
        setTimeout(() => { seen.push(1); Promise.resolve().then(() => seen.push('m')) }, 10);
        await new Promise((r) => setTimeout(r, 30)); seen""")
    assert guest.wait == 10 * MS
    assert guest.tick(100 * MS) == FINISHED
    assert guest.value == [1, "m", 2]


def test_a_timer_set_by_a_timer_waits_for_the_next_event(start: RunJavaScript) -> None:
    guest = start(
        "let n = 0; const again = () => { n++; setTimeout(again, 0) }; again(); await new Promise((r) => setTimeout(r, 5)); n"
    )
    assert guest.wait == 0
    assert guest.tick(0) == 0
    assert guest.tick(0) == 0
    guest.tick(5 * MS)
    assert guest.value == 4


def test_interval(run: RunJavaScript) -> None:
    guest = run(
        "let n = 0; await new Promise((r) => { const t = setInterval(() => { if (++n === 3) { clearInterval(t); r() } }, 10) }); [n, performance.now()]"
    )
    assert guest.value == [3, 30]


def test_timers_due_before_a_result_fire_before_it(start: RunJavaScript) -> None:
    guest = start("const o = []; setTimeout(() => o.push('timer'), 10); o.push(await codemode.a.b()); o")
    assert guest.resume(1, Answer("result"), after_ns=50 * MS) == FINISHED
    assert guest.value == ["timer", "result"]


def test_an_error_in_a_timer_is_logged(run: RunJavaScript) -> None:
    guest = run("setTimeout(() => { throw new Error('late') }, 1); await new Promise((r) => setTimeout(r, 2)); 5")
    assert guest.value == 5
    assert guest.logs[0][0] == 4
    assert guest.logs[0][1].startswith("Uncaught Error: late")


def test_clock_moves_with_events_only(start: RunJavaScript) -> None:
    guest = start(
        "const t = [Date.now(), performance.timeOrigin]; await codemode.a.b(); [...t, Date.now(), performance.now()]"
    )
    guest.resume(1, Answer(None), after_ns=1500 * 1000)
    ms = START_NS // MS
    assert guest.value == [ms, ms, ms + 1, 1.5]


def test_the_program_ends_though_timers_are_set(run: RunJavaScript) -> None:
    assert run("setInterval(() => {}, 10); 'done'").value == "done"
