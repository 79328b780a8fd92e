"""fetch, urllib and requests over the host's fetch."""

# ruff: noqa: E501 (programs in tables are one line each)

import base64
import json
from typing import Any

import pytest

from tests.images.python_host import Image, Outcome, Reply, Submitted, python

__all__ = ["python"]


def site(call: Submitted) -> Reply:
    """A small web site."""
    request = call.payload
    url = request["url"].partition("?")[0]
    if url.endswith("/denied"):
        return Reply(error=_error("denied", "no rule allows it"))
    if url.endswith("/slow"):
        return Reply(error=_error("timeout", "too slow"))
    if url.endswith("/down"):
        return Reply(error=_error("unavailable", "no answer"))
    if url.endswith("/missing"):
        return _reply(request, status=404, text="Not Found", body='{"error": "missing"}')
    if url.endswith("/binary"):
        return _reply(request, body=base64.b64encode(b"\xff\x00\xfe").decode(), base64=True, kind="image/png")
    if url.endswith("/latin"):
        return _reply(
            request, body=base64.b64encode(b"caf\xe9").decode(), base64=True, kind="text/plain; charset=latin-1"
        )
    if url.endswith("/text"):
        return _reply(request, body="one\ntwo\n", kind="text/plain; charset=utf-8")
    if url.endswith("/list"):
        return _reply(request, body="[1, 2]")
    return _reply(request, body=json.dumps(request), cookies=True)


def _error(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "message": message, "status": None, "retryable": False, "tool": None, "details": None}


def _reply(request: dict[str, Any], **given: Any) -> Reply:
    headers = [["Content-Type", given.get("kind", "application/json")], ["X-Many", "1"], ["x-many", "2"]]
    if given.get("cookies"):
        headers.append(["Set-Cookie", "session=abc; Path=/; HttpOnly"])
    value = {
        "url": request["url"],
        "redirected": False,
        "status": given.get("status", 200),
        "status_text": given.get("text", "OK"),
        "headers": headers,
        "body": given["body"],
        "body_base64": given.get("base64", False),
    }
    return Reply(value=value)


def _run(python: Image, code: str, **options: Any) -> Outcome:
    return python.run(code, handler=site, **options)


def _value(python: Image, code: str, **options: Any) -> Any:
    outcome = _run(python, code, **options)
    assert outcome.error is None
    assert outcome.trap is None
    return outcome.value


FETCHES: dict[str, tuple[str, dict[str, Any]]] = {
    "get": (
        "'http://h/x'",
        {"method": "GET", "url": "http://h/x", "body": None, "redirect": "follow", "timeout_ms": None},
    ),
    "json": (
        "'http://h/x', json={'a': 1}",
        {"method": "POST", "body": '{"a":1}', "headers": [["content-type", "application/json"]]},
    ),
    "form": (
        "'http://h/x', data={'a': 'b c'}",
        {"method": "POST", "body": "a=b+c", "headers": [["content-type", "application/x-www-form-urlencoded"]]},
    ),
    "text": ("'http://h/x', method='put', body='t'", {"method": "PUT", "body": "t", "body_base64": False}),
    "bytes": ("'http://h/x', body=b'\\xff'", {"body": "/w==", "body_base64": True}),
    "headers": ("'http://h/x', headers={'A': 1}", {"headers": [["A", "1"]]}),
    "parameters": ("'http://h/x?q=1', params={'a': ['b', 'c']}", {"url": "http://h/x?q=1&a=b&a=c"}),
    "timeout": ("'http://h/x', timeout=1.5", {"timeout_ms": 1500}),
    "redirect": ("'http://h/x', redirect='manual'", {"redirect": "manual"}),
    "options as a dict": (
        "'http://h/x', {'method': 'DELETE', 'headers': {'A': 'b'}}",
        {"method": "DELETE", "headers": [["A", "b"]]},
    ),
}


@pytest.mark.parametrize(("arguments", "expected"), FETCHES.values(), ids=FETCHES.keys())
def test_fetch_sends(python: Image, arguments: str, expected: dict[str, Any]) -> None:
    outcome = _run(python, f"response = await fetch({arguments})\nresponse.json()")
    assert outcome.error is None
    [call] = outcome.host.submitted
    assert (call.kind, call.name) == (2, "")
    assert outcome.value == call.payload
    assert {key: call.payload[key] for key in expected} == expected


READS: dict[str, tuple[str, Any]] = {
    "status": ("[r.status, r.ok, r.status_text, r.status_code]", [200, True, "OK", 200]),
    "headers in any case": (
        "[r.headers['CONTENT-TYPE'], r.headers.get('x-many'), 'X-Many' in r.headers]",
        ["text/plain; charset=utf-8", "1, 2", True],
    ),
    "text": ("r.text", "one\ntwo\n"),
    "text called": ("r.text()", "one\ntwo\n"),
    "text awaited": ("await r.text()", "one\ntwo\n"),
    "bytes": ("r.bytes().decode()", "one\ntwo\n"),
    "bytes awaited": ("(await r.bytes()).decode()", "one\ntwo\n"),
    "content": ("r.content.decode()", "one\ntwo\n"),
    "an awaited text is a plain one": ("type(await r.text()).__name__", "str"),
}


@pytest.mark.parametrize(("expression", "expected"), READS.values(), ids=READS.keys())
def test_fetch_reads(python: Image, expression: str, expected: Any) -> None:
    assert _value(python, f"r = await fetch('http://h/text')\nx = {expression}\nx") == expected


def test_fetch_json_may_be_awaited_or_not(python: Image) -> None:
    code = "r = await fetch('http://h/list')\na = r.json()\nb = await r.json()\n[a, b, type(b).__name__]"
    assert _value(python, code) == [[1, 2], [1, 2], "list"]


def test_fetch_reads_other_encodings(python: Image) -> None:
    assert _value(python, "(await fetch('http://h/latin')).text") == "caf\u00e9"
    assert _value(python, "list((await fetch('http://h/binary')).content)") == [255, 0, 254]


def test_fetch_does_not_raise_for_a_status(python: Image) -> None:
    assert _value(python, "r = await fetch('http://h/missing')\n[r.ok, r.status, r.json()]") == [
        False,
        404,
        {"error": "missing"},
    ]


def test_fetch_raises_for_a_status_when_asked(python: Image) -> None:
    outcome = _run(python, "(await fetch('http://h/missing')).raise_for_status()")
    assert outcome.error is not None
    assert outcome.error["call"]["status"] == 404


def test_fetch_that_is_denied(python: Image) -> None:
    code = "try:\n    await fetch('http://h/denied')\nexcept ToolError as e:\n    r = [e.code, e.message, isinstance(e, OSError)]\nr"
    assert _value(python, code) == ["denied", "no rule allows it", True]


def test_fetches_run_in_parallel(python: Image) -> None:
    code = "import asyncio\nrs = await asyncio.gather(fetch('http://h/a'), fetch('http://h/b'))\n[r.url for r in rs]"
    assert _value(python, code) == ["http://h/a", "http://h/b"]


def test_fetch_body_above_its_limit(python: Image) -> None:
    outcome = _run(python, "await fetch('http://h/x', body='x' * 5000)", max_call_bytes=2000)
    assert outcome.error is not None
    assert outcome.error["limit"] == "call_bytes"
    assert outcome.host.submitted == []


def test_json_that_is_none_is_quoted(python: Image) -> None:
    outcome = _run(python, "(await fetch('http://h/text')).json()")
    assert outcome.error is not None
    assert "it starts with 'one\\ntwo\\n'" in outcome.error["message"]


# urllib.


def test_urlopen(python: Image) -> None:
    code = """
from urllib.request import urlopen
with urlopen("http://h/text", timeout=3) as response:
    body = response.read().decode()
[response.status, body, response.headers["content-type"], response.geturl()]
"""
    assert _value(python, code) == [200, "one\ntwo\n", "text/plain; charset=utf-8", "http://h/text"]


def test_urlopen_request(python: Image) -> None:
    code = """
import json, urllib.request, urllib.parse
request = urllib.request.Request("https://h/x", data=urllib.parse.urlencode({"a": 1}).encode(), headers={"X-A": "b"}, method="PUT")
json.load(urllib.request.urlopen(request))
"""
    sent = _value(python, code)
    assert (sent["method"], sent["url"], sent["body"]) == ("PUT", "https://h/x", "a=1")
    names = {name.lower(): value for name, value in sent["headers"]}
    assert names["x-a"] == "b"
    assert "host" not in names


def test_urlopen_raises(python: Image) -> None:
    code = """
import urllib.request, urllib.error
seen = []
for path in ("missing", "denied", "slow"):
    try:
        urllib.request.urlopen(f"http://h/{path}")
    except urllib.error.HTTPError as error:
        seen.append([error.code, error.read().decode()])
    except urllib.error.URLError as error:
        seen.append([type(error).__name__, isinstance(error.reason, TimeoutError)])
seen
"""
    assert _value(python, code) == [[404, '{"error": "missing"}'], ["URLError", False], ["URLError", True]]


@pytest.mark.parametrize("name", ["HTTPConnection", "HTTPSConnection"])
def test_http_client_names_what_to_use(python: Image, name: str) -> None:
    outcome = _run(python, f"import http.client\nhttp.client.{name}('h').request('GET', '/')")
    assert outcome.error is not None
    assert "use await fetch(...)" in outcome.error["message"]


# requests.


REQUESTS: dict[str, tuple[str, Any]] = {
    "get": ("requests.get('http://h/text').text", "one\ntwo\n"),
    "json": ("requests.get('http://h/list').json()", [1, 2]),
    "status": (
        "r = requests.get('http://h/missing'); x = [r.status_code, r.ok, bool(r), r.reason]",
        [404, False, False, "Not Found"],
    ),
    "parameters": ("requests.get('http://h/x', params={'a': 1}).json()['url']", "http://h/x?a=1"),
    "method": (
        "[getattr(requests, m)('http://h/x').json()['method'] for m in ('get', 'post', 'put', 'patch', 'delete', 'options')]",
        ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    ),
    "request": ("requests.request('PURGE', 'http://h/x').json()['method']", "PURGE"),
    "json body": ("requests.post('http://h/x', json={'a': 1}).json()['body']", '{"a":1}'),
    "form body": ("requests.post('http://h/x', data={'a': 1}).json()['body']", "a=1"),
    "basic auth": ("requests.get('http://h/x', auth=('u', 'p')).json()['headers']", [["Authorization", "Basic dTpw"]]),
    "timeout": ("requests.get('http://h/x', timeout=(1, 2)).json()['timeout_ms']", 3000),
    "no redirects": ("requests.get('http://h/x', allow_redirects=False).json()['redirect']", "manual"),
    "lines": ("list(requests.get('http://h/text', stream=True).iter_lines(decode_unicode=True))", ["one", "two"]),
    "headers in any case": ("requests.get('http://h/text').headers['content-type']", "text/plain; charset=utf-8"),
    "files": (
        "'filename=\"a.txt\"' in requests.post('http://h/x', files={'f': ('a.txt', b'data')}).json()['body']",
        True,
    ),
    "codes": ("requests.codes.ok", 200),
}


@pytest.mark.parametrize(("expression", "expected"), REQUESTS.values(), ids=REQUESTS.keys())
def test_requests(python: Image, expression: str, expected: Any) -> None:
    code = expression if "x = " in expression else f"x = {expression}"
    assert _value(python, f"import requests\n{code}\nx") == expected


def test_requests_session(python: Image) -> None:
    code = """
import requests
with requests.Session() as session:
    session.headers.update({"X-Token": "t"})
    session.params = {"k": "v"}
    session.get("http://h/first")
    second = session.post("http://h/second", json=[1], headers={"X-Other": "o"}).json()
[second["url"], sorted(second["headers"])]
"""
    assert _value(python, code) == [
        "http://h/second?k=v",
        [["Cookie", "session=abc"], ["X-Other", "o"], ["X-Token", "t"], ["content-type", "application/json"]],
    ]


FAILURES = {
    "status": ("requests.get('http://h/missing').raise_for_status()", "HTTPError"),
    "denied": ("requests.get('http://h/denied')", "ConnectionError"),
    "down": ("requests.get('http://h/down')", "ConnectionError"),
    "timeout": ("requests.get('http://h/slow')", "Timeout"),
    "no scheme": ("requests.get('h/x')", "MissingSchema"),
    "another scheme": ("requests.get('ftp://h/x')", "InvalidSchema"),
    "no JSON": ("requests.get('http://h/text').json()", "JSONDecodeError"),
}


@pytest.mark.parametrize(("call", "name"), FAILURES.values(), ids=FAILURES.keys())
def test_requests_raises(python: Image, call: str, name: str) -> None:
    code = f"""
import requests
try:
    {call}
except requests.exceptions.{name} as error:
    caught = isinstance(error, requests.RequestException), bool(str(error))
caught
"""
    assert _value(python, code) == [True, True]


def test_requests_from_within_the_loop_lets_others_progress(python: Image) -> None:
    code = """
import asyncio, requests
call = codemode.a.b()
async def f():
    return requests.get("http://h/list").json()
first = await f()
[first, call.done()]
"""
    outcome = python.run(code, handler=lambda call: site(call) if call.kind == 2 else Reply(value=1, after=0.0005))
    assert outcome.value == [[1, 2], True]
