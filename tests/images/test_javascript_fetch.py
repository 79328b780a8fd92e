"""fetch, Headers, Request, Response and the signals that end a fetch."""
# ruff: noqa: E501 programs stay on one line

import base64
from typing import Any

import pytest

from tests.images.conftest import RunJavaScript
from tests.images.javascript_host import FETCH, FINISHED, Answer, Call, failure

MS = 1_000_000


def response(body: str = "", *, status: int = 200, headers: dict[str, str] | None = None, **fields: Any) -> Answer:
    known = {
        "url": "https://api.test/",
        "redirected": False,
        "status": status,
        "status_text": "OK",
        "body_base64": False,
    }
    return Answer({**known, "headers": [[k, v] for k, v in (headers or {}).items()], "body": body, **fields})


def test_get(run: RunJavaScript) -> None:
    guest = run(
        "const r = await fetch('https://api.test/x?y=1'); [r.ok, r.status, r.statusText, r.url, r.redirected, r.type, await r.json()]",
        answer=lambda _: response('{"a":[1]}', headers={"Content-Type": "application/json"}),
    )
    assert guest.value == [True, 200, "OK", "https://api.test/", False, "basic", {"a": [1]}]
    assert guest.calls == [
        Call(
            1,
            FETCH,
            "",
            {
                "url": "https://api.test/x?y=1",
                "method": "GET",
                "headers": [],
                "body": None,
                "body_base64": False,
                "redirect": "follow",
                "timeout_ms": None,
            },
        )
    ]


BODIES = {
    "string": ("'hé'", "hé", False, "text/plain;charset=UTF-8"),
    "parameters": (
        "new URLSearchParams({ a: 'b c' })",
        "a=b+c",
        False,
        "application/x-www-form-urlencoded;charset=UTF-8",
    ),
    "typed array": ("new Uint8Array([1, 255])", base64.b64encode(b"\1\xff").decode(), True, None),
    "part of a buffer": ("new Uint16Array([1, 2, 3]).subarray(1, 2)", base64.b64encode(b"\2\0").decode(), True, None),
    "array buffer": ("new Uint8Array([0]).buffer", "AA==", True, None),
    "number": ("5", "5", False, "text/plain;charset=UTF-8"),
}


@pytest.mark.parametrize(("body", "sent", "is_base64", "content_type"), BODIES.values(), ids=BODIES.keys())
def test_request_bodies(run: RunJavaScript, body: str, sent: str, is_base64: bool, content_type: str | None) -> None:
    guest = run(f"await fetch('https://api.test', {{ method: 'post', body: {body} }}); 1", answer=lambda _: response())
    payload = guest.calls[0].payload
    assert (payload["method"], payload["body"], payload["body_base64"]) == ("POST", sent, is_base64)
    assert payload["headers"] == ([["content-type", content_type]] if content_type else [])


HEADERS = {
    "object": "{ 'X-A': 1, accept: 'b ' }",
    "pairs": "[['X-A', '1'], ['Accept', ' b']]",
    "Headers": "new Headers({ 'x-a': '1', accept: 'b' })",
    "Map": "new Map([['x-a', 1], ['accept', 'b']])",
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS.keys())
def test_request_headers(run: RunJavaScript, headers: str) -> None:
    guest = run(f"await fetch('https://api.test', {{ headers: {headers} }}); 1", answer=lambda _: response())
    assert guest.calls[0].payload["headers"] == [["x-a", "1"], ["accept", "b"]]


REFUSED = {
    "relative URL": ("fetch('/x')", "absolute URL"),
    "scheme": ("fetch('file:///etc/passwd')", "http and https"),
    "credentials": ("fetch('https://u:p@api.test')", "no credentials in the URL"),
    "body with GET": ("fetch('https://api.test', { body: 'x' })", "GET request has no body"),
    "object as body": ("fetch('https://api.test', { method: 'POST', body: { a: 1 } })", "JSON.stringify"),
    "method": ("fetch('https://api.test', { method: 'A B' })", "invalid method"),
    "forbidden method": ("fetch('https://api.test', { method: 'TRACE' })", "TRACE"),
    "redirect": ("fetch('https://api.test', { redirect: 'maybe' })", "redirect is"),
    "header name": ("fetch('https://api.test', { headers: { 'a b': '1' } })", "invalid header name"),
    "header value": ("fetch('https://api.test', { headers: { a: 'x\\r\\ny: z' } })", "value of header a"),
    "signal": ("fetch('https://api.test', { signal: {} })", "AbortSignal"),
}


@pytest.mark.parametrize(("program", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_refused_before_it_leaves(run: RunJavaScript, program: str, words: str) -> None:
    guest = run(f"{program}.then(() => 1, (e) => [e instanceof TypeError, e.message])")
    is_type_error, message = guest.value
    assert is_type_error
    assert words in message
    assert guest.calls == []


def test_failure_is_a_type_error_that_says_why(run: RunJavaScript) -> None:
    program = """
        try { await fetch('https://api.test') } catch (e) {
            return [e instanceof TypeError, e instanceof FetchError, e.name, e.code, e.status, e.message, e.retryable, e.details] }"""
    guest = run(
        program, answer=lambda _: failure("denied", "api.test is not allowed", status=403, details={"hint": "ask"})
    )
    assert guest.value == [True, True, "FetchError", "denied", 403, "api.test is not allowed", False, {"hint": "ask"}]


def test_uncaught_failure_carries_the_call(run: RunJavaScript) -> None:
    error = run(
        "\nawait fetch('https://api.test')", answer=lambda _: failure("unavailable", "no route", retryable=True)
    ).error
    assert (error["name"], error["line"], error["call"]["code"], error["call"]["retryable"]) == (
        "FetchError",
        2,
        "unavailable",
        True,
    )


READS = {
    "text": ("await r.text()", "hé"),
    "bytes": ("[...await r.bytes()]", [104, 195, 169]),
    "arrayBuffer": ("(await r.arrayBuffer()).byteLength", 3),
    "clone": ("[await r.clone().text(), await r.text()]", ["hé", "hé"]),
    "used": ("[r.bodyUsed, (await r.text(), r.bodyUsed)]", [False, True]),
}


@pytest.mark.parametrize(("read", "value"), READS.values(), ids=READS.keys())
@pytest.mark.parametrize("form", ["text", "base64"])
def test_reading_a_body(run: RunJavaScript, read: str, value: object, form: str) -> None:
    sent = response("hé") if form == "text" else response(base64.b64encode("hé".encode()).decode(), body_base64=True)
    assert run(f"const r = await fetch('https://api.test'); {read}", answer=lambda _: sent).value == value


def test_a_body_is_read_once(run: RunJavaScript) -> None:
    guest = run(
        "const r = await fetch('https://api.test'); await r.text(); await r.json()", answer=lambda _: response("1")
    )
    assert "already read" in guest.error["message"]


def test_a_body_that_is_no_json_is_quoted(run: RunJavaScript) -> None:
    guest = run(
        "await (await fetch('https://api.test')).json()",
        answer=lambda _: response("<html>no", status=502, headers={"content-type": "text/html"}),
    )
    assert guest.error["name"] == "SyntaxError"
    assert "status 502, content-type text/html" in guest.error["message"]
    assert '"<html>no"' in guest.error["message"]


@pytest.mark.parametrize(
    ("use", "words"), [("await r.blob()", "Blob"), ("await r.formData()", "FormData"), ("r.body", "body streams")]
)
def test_missing_body_forms_name_themselves(run: RunJavaScript, use: str, words: str) -> None:
    guest = run(f"const r = await fetch('https://api.test'); {use}", answer=lambda _: response("x"))
    assert words in guest.error["message"]


def test_response_headers(run: RunJavaScript) -> None:
    given = [["Set-Cookie", "a=1"], ["set-cookie", "b=2"], ["X-A", "1"], ["x-a", "2"]]
    guest = run(
        """
        const { headers } = await fetch('https://api.test');
        let fixed; try { headers.set('x', 'y') } catch (e) { fixed = e.message }
        [headers.get('X-A'), headers.has('nope'), headers.get('nope'), headers.getSetCookie(), [...headers], fixed]""",
        answer=lambda _: response(headers=None) if False else Answer({**response().payload, "headers": given}),
    )
    assert guest.value[:4] == ["1, 2", False, None, ["a=1", "b=2"]]
    assert guest.value[4] == [["set-cookie", "a=1"], ["set-cookie", "b=2"], ["x-a", "1, 2"]]
    assert "cannot be changed" in guest.value[5]


def test_headers_object(run: RunJavaScript) -> None:
    program = """
        const h = new Headers([['b', '1'], ['A', '2']]);
        h.append('b', '3'); h.set('c', '4'); h.delete('a');
        const seen = []; h.forEach((value, name) => seen.push(name + value));
        [[...h.keys()], [...h.values()], seen]"""
    assert run(program).value == [["b", "c"], ["1, 3", "4"], ["b1, 3", "c4"]]


def test_request_object(run: RunJavaScript) -> None:
    program = """
        const q = new Request('https://api.test/a', { method: 'PUT', body: 'x', headers: { a: '1' } });
        await fetch(q.clone()); await fetch(q, { method: 'DELETE', body: 'y' });
        [q.method, q.url, q.headers.get('a'), await q.text(), q.bodyUsed]"""
    guest = run(program, answer=lambda _: response())
    assert guest.value == ["PUT", "https://api.test/a", "1", "x", True]
    assert [(c.payload["method"], c.payload["body"]) for c in guest.calls] == [("PUT", "x"), ("DELETE", "y")]


def test_response_object(run: RunJavaScript) -> None:
    program = """
        const r = Response.json({ a: 1 }, { status: 201 });
        [r.status, r.ok, r.headers.get('content-type'), await r.json(), new Response('x', { status: 404 }).ok, new Response().body]"""
    assert run(program).value == [201, True, "application/json", {"a": 1}, False, None]


def test_classes_can_be_extended(run: RunJavaScript) -> None:
    assert run(
        "class R extends Request { get kind() { return 'mine' } } const r = new R('https://a.b'); [r.kind, r.url]"
    ).value == ["mine", "https://a.b/"]


def test_abort_before(run: RunJavaScript) -> None:
    guest = run(
        "try { await fetch('https://api.test', { signal: AbortSignal.abort() }) } catch (e) { [e.name, e instanceof DOMException] }"
    )
    assert guest.value == ["AbortError", True]
    assert guest.calls == []


def test_abort_while_waiting(start: RunJavaScript) -> None:
    guest = start("""
        const c = new AbortController();
        setTimeout(() => c.abort(new Error('enough')), 10);
        try { await fetch('https://api.test', { signal: c.signal }) } catch (e) { return [e.message, c.signal.aborted] }""")
    assert guest.wait == 10 * MS
    assert guest.tick(10 * MS) == FINISHED
    assert guest.value == ["enough", True]
    assert guest.resume(1, response("late")) == FINISHED


def test_timeout_is_told_to_the_host_and_kept_in_the_guest(start: RunJavaScript) -> None:
    program = "try { await fetch('https://api.test', { signal: AbortSignal.timeout(50) }) } catch (e) { return e.name }"
    guest = start(program)
    assert guest.calls[0].payload["timeout_ms"] == 50
    guest.tick(50 * MS)
    assert guest.value == "TimeoutError"
    guest = start(program)
    guest.resume(1, failure("timeout", "took too long"), after_ns=49 * MS)
    assert guest.value == "TimeoutError"


def test_any_signal(start: RunJavaScript) -> None:
    guest = start("""
        const c = new AbortController();
        const signal = AbortSignal.any([c.signal, AbortSignal.timeout(70)]);
        const call = fetch('https://api.test', { signal });
        c.abort();
        try { await call } catch (e) { return e.name }""")
    assert guest.calls[0].payload["timeout_ms"] == 70
    assert guest.value == "AbortError"


def test_abort_events(run: RunJavaScript) -> None:
    program = """
        const c = new AbortController(), seen = [];
        c.signal.onabort = () => seen.push('on');
        c.signal.addEventListener('abort', (e) => seen.push(e.type, e.target === c.signal), { once: true });
        const gone = () => seen.push('gone'); c.signal.addEventListener('abort', gone); c.signal.removeEventListener('abort', gone);
        c.abort('why'); c.abort('again');
        try { c.signal.throwIfAborted() } catch (e) { seen.push(e) }
        seen"""
    assert run(program).value == ["on", "abort", True, "why"]
