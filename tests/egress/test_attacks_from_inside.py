"""ATTACKS, "At the egress proxy", from inside: a guest's `fetch` in both languages and tool calls, in a live cell.

What a program cannot even write down is not here: it has no say in CONNECT, SNI, Host, framing, tokens and HTTP/2.
"""

import asyncio
import base64
import gzip
import json
import os
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from urllib.parse import quote

import brotli
import pytest
import yaml
import zstandard

from runtime.client import Client, Context, execute_request
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import CellOptions
from tests.cell import TestCell, open_shared_state, running_cell
from tests.egress.conftest import echo
from tests.egress.origin import Origin, Received, answer

SECRET = "inside/Value+with=chars"
WORD = "LOCKGATE_INSIDE_KEY"
FETCH = {
    "javascript": """
const results = [];
for (const [url, init] of inputs.requests) {
  try {
    const response = await fetch(url, init);
    const headers = [...response.headers].flat().join(" ");
    results.push({status: response.status, body: await response.text(), headers});
  } catch (error) {
    results.push({error: String(error.code ?? error.name), message: error.message, details: error.details});
  }
}
return results;
""",
    "python": """
results = []
for url, init in inputs["requests"]:
    try:
        response = await fetch(url, **init)
        results.append({"status": response.status, "body": response.text(), "headers": str(response.headers)})
    except Exception as error:
        code, details = getattr(error, "code", type(error).__name__), getattr(error, "details", None)
        results.append({"error": str(code), "message": str(error), "details": details})
return results
""",
}
CALL = """
const results = [];
for (const given of inputs.calls) {
  try { results.push({value: JSON.stringify(await codemode.api.lookUp(given))}); }
  catch (error) { results.push({error: String(error.code ?? error.name), message: error.message}); }
}
return results;
"""
LANGUAGES = pytest.mark.parametrize("language", FETCH)


def document(port: int) -> dict[str, Any]:
    string = {"type": "string"}
    parameters = [
        {"name": "key", "in": "path", "required": True, "schema": string},
        {"name": "q", "in": "query", "schema": string},
        {"name": "X-Note", "in": "header", "schema": string},
        {"name": "authorization", "in": "header", "schema": string},
    ]
    operation = {"operationId": "lookUp", "parameters": parameters, "responses": {"200": {"description": "ok"}}}
    info = {"title": "api", "version": "1"}
    servers = [{"url": f"http://api.internal:{port}/v1"}]
    return {"openapi": "3.1.0", "info": info, "servers": servers, "paths": {"/items/{key}": {"post": operation}}}


@pytest.fixture(scope="module")
def origin() -> Iterator[Origin]:
    made = Origin(echo)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def forgotten(origin: Origin) -> None:
    origin.received.clear()
    origin.handler = echo


@pytest.fixture(scope="module")
def inside(tmp_path_factory: pytest.TempPathFactory, origin: Origin) -> Iterator[TestCell]:
    """A cell whose profile lets a program go to every name, and to one private service under /open/."""
    directory = tmp_path_factory.mktemp("inside")
    os.environ["INSIDE_SECRET"] = SECRET
    port = origin.port
    private = {"ports": [port], "schemes": ["http"], "methods": ["*"]}
    rules = [
        {**private, "name": "open", "hosts": ["site.internal"], "paths": ["/open/**"], "networks": ["127.0.0.1/32"],
         "inject": {"secret": "inside", "as": "bearer"}},
        {**private, "name": "placed", "hosts": ["site.internal"], "paths": ["/placed/**"], "networks": ["127.0.0.1/32"],
         "inject": {"secret": "inside", "as": "placeholder", "text": WORD, "places": ["header", "body"]}},
        {**private, "name": "tools", "methods": ["PUT"], "hosts": ["site.internal"], "paths": ["/mcp"],
         "networks": ["127.0.0.1/32"], "mcp": {"tools": ["search"]}},
        {**private, "name": "anything", "methods": ["GET", "HEAD", "POST"], "paths": ["/**"],
         "hosts": ["**", "127.0.0.1", "::1", "169.254.169.254", "10.0.0.1"]},
    ]  # fmt: skip
    profile = {
        "name": "inside", "version": 1, "languages": ["javascript", "python"], "environments": ["dev"],
        "limits": {"host_calls": 100, "wall_ms": 30_000, "active_ms": 30_000}, "tools": {"allow": ["api.*"]},
        "egress": {"rules": rules},
    }  # fmt: skip
    api = {
        "kind": "openapi", "document": "api.json", "base_url": f"http://api.internal:{port}/v1",
        "auth": {"secret": "inside", "as": "bearer"}, "networks": ["127.0.0.1/32"],
    }  # fmt: skip
    config = {
        "profiles": ["profiles"],
        "upstreams": {"api": api},
        "secrets": {"inside": {"env": "INSIDE_SECRET"}},
        "hosts": {"site.internal": "127.0.0.1", "api.internal": "127.0.0.1", "elsewhere.internal": "127.0.0.1"},
    }
    (directory / "api.json").write_text(json.dumps(document(port)))
    (directory / "profiles").mkdir()
    (directory / "profiles" / "inside.yaml").write_text(yaml.safe_dump(profile))
    path = directory / "lockgate.yaml"
    path.write_text(yaml.safe_dump(config))
    state = open_shared_state(directory / "state")
    with running_cell(CellOptions(state=state, config_file=path, any_port=True, workers=1)) as running:
        yield TestCell(cell=running, state=state, site=f"http://site.internal:{port}", config_file=path)


@pytest.fixture
async def client(inside: TestCell) -> AsyncIterator[Client]:
    async with Client(inside.address, inside.token) as made:
        async with asyncio.timeout(60):
            while (await made.search("", limit=1)).upstreams:
                await asyncio.sleep(0.02)
        yield made


async def run(client: Client, language: Any, code: str, **inputs: Any) -> list[dict[str, Any]]:
    context = Context(actor="attacker", owner="attacker", environment="dev", reason="a test")
    done = await client.execute(
        execute_request(code, profile="inside", language=language, context=context, inputs=inputs)
    )
    assert done.status == pb.STATUS_SUCCEEDED, done.error
    return json.loads(done.result_json)


async def fetched(client: Client, language: str, *urls: str, **init: Any) -> list[dict[str, Any]]:
    return await run(client, language, FETCH[language], requests=[[url, init] for url in urls])


def places(port: int) -> list[str]:
    hosts = [
        "127.0.0.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "0", "127.0.0.1.", "[::1]",
        "[::ffff:127.0.0.1]", "169.254.169.254", "10.0.0.1", "[64:ff9b::7f00:1]",
        "elsewhere.internal", "elsewhere.internal.", "127。0。0。1",
        "site.internal@elsewhere.internal", "elsewhere.internal%2f", "site.internal%00.evil.com", "localhost",
    ]  # fmt: skip
    return [f"http://{host}:{port}/open/x" for host in hosts]


@LANGUAGES
async def test_addresses_and_names_from_a_program(client: Client, origin: Origin, language: str) -> None:
    before = origin.connections
    for result in await fetched(client, language, *places(origin.port)):
        assert "error" in result, result
    assert (origin.received, origin.connections) == ([], before)


@LANGUAGES
async def test_the_service_itself_from_a_program(client: Client, inside: TestCell, language: str) -> None:
    """Its own ports are refused whatever a rule says; the rules here do not name them either."""
    ports = [inside.address.rpartition(":")[2], inside.cell.mcp_address.rpartition(":")[2]]
    urls = [f"http://{host}:{port}/open/x" for port in ports for host in ("127.0.0.1", "site.internal", "localhost")]
    assert all("error" in result for result in await fetched(client, language, *urls))


PATHS = ["/open/../secret", "/open/%2e%2e/secret", "/open/..%2fsecret", "/open/%252e%252e/secret", "/open/..;/secret",
         "/open//secret", "/open/%00", "/open/%0d%0aX-Injected:1", "/open\\..\\secret", "/secret"]  # fmt: skip


@LANGUAGES
async def test_paths_from_a_program(client: Client, inside: TestCell, origin: Origin, language: str) -> None:
    """A URL class may resolve dots by itself; what is sent is under /open/ or is not sent."""
    await fetched(client, language, *(f"{inside.site}{path}" for path in PATHS))
    assert [request.line for request in origin.received if "secret" in request.line] == []
    assert [request for request in origin.received if "x-injected" in request.names()] == []


@LANGUAGES
@pytest.mark.parametrize(
    "name", ["host", "proxy-authorization", "transfer-encoding", "content-length", "connection", "te"]
)
async def test_a_program_has_no_say_in_framing_and_tokens(
    client: Client, inside: TestCell, origin: Origin, language: str, name: str
) -> None:
    (result,) = await fetched(client, language, f"{inside.site}/open/x", headers={name: "5"})
    sent = [value for request in origin.received for key, value in request.headers if key.lower() == name]
    assert "5" not in sent
    assert "error" in result or result["status"] == 200


@LANGUAGES
@pytest.mark.parametrize("value", ["a\r\nX-Injected: 1", "a\nb", "a\0b"])
async def test_a_line_end_in_a_header_from_a_program(
    client: Client, inside: TestCell, origin: Origin, language: str, value: str
) -> None:
    (result,) = await fetched(client, language, f"{inside.site}/open/x", headers={"x-a": value})
    assert "error" in result
    assert origin.received == []


@LANGUAGES
async def test_a_credential_never_comes_back_to_a_program(
    client: Client, inside: TestCell, origin: Origin, language: str
) -> None:
    """The origin answers with all it was sent, in body and header."""
    origin.handler = lambda request: answer(
        repr(request.headers).encode(), "200 OK", ("X-Echo", request.header("authorization") or "")
    )
    (result,) = await fetched(client, language, f"{inside.site}/open/x", headers={"authorization": "Bearer mine"})
    assert origin.received[0].header("authorization") == f"Bearer {SECRET}"
    assert SECRET not in json.dumps(result)
    assert "[redacted:inside]" in result["body"]


CODINGS = {"identity": bytes, "gzip": gzip.compress, "br": brotli.compress, "zstd": zstandard.compress}


@pytest.mark.parametrize("coding", CODINGS)
async def test_a_credential_never_comes_back_in_a_coding_or_an_error_page(
    client: Client, inside: TestCell, origin: Origin, coding: str
) -> None:
    """To a program and to a tool's caller."""
    said = base64.b64encode(f"id:{SECRET}".encode()) + b" " + quote(SECRET, safe="").encode()
    page = CODINGS[coding](b"<p>bad token " + said + b"</p>")
    origin.handler = lambda _: answer(page, "401 Unauthorized", ("Content-Encoding", coding))
    results = await fetched(client, "javascript", f"{inside.site}/open/x")
    results += await fetched(client, "python", f"{inside.site}/open/x")
    results += await run(client, "javascript", CALL, calls=[{"key": "a"}])
    assert [result.get("status", result.get("error")) for result in results] == [401, 401, "upstream_error"]
    for result in results:
        shown = json.dumps(result)
        assert not any(part in shown for part in said.decode().split())
        assert "[redacted:inside]" in shown


MISPLACED = [
    ("/open/x", {"headers": {"x-key": WORD}}), ("/open/x", {"headers": {"x-key": WORD.lower()}}),
    (f"/open/{WORD}", {}), (f"/open/x?key={WORD}", {}), (f"/open/x?key=%4C{WORD[1:]}", {}),
    ("/open/x", {"method": "POST", "body": f"key={WORD}"}),
    ("/placed/x?key=" + WORD, {}), (f"/placed/{WORD}", {}),
    ("/open/x", {"headers": {"authorization": "Basic " + base64.b64encode(f"u:{WORD}".encode()).decode()}}),
]  # fmt: skip


@LANGUAGES
async def test_a_placeholder_out_of_its_place_from_a_program(
    client: Client, inside: TestCell, origin: Origin, language: str
) -> None:
    asked = [[f"{inside.site}{path}", init] for path, init in MISPLACED]
    meant = [f"{inside.site}/placed/x", {"method": "POST", "headers": {"x-key": WORD}, "body": f"plain {WORD}"}]
    *refused, allowed = await run(client, language, FETCH[language], requests=[*asked, meant])
    assert [(result.get("error"), result["details"]["reason"].count("placeholder")) for result in refused] == (
        [("denied", 1)] * len(MISPLACED)
    )
    assert allowed.get("status") == 200, allowed
    (got,) = origin.received
    assert (got.header("x-key"), got.body) == (SECRET, f"plain {SECRET}".encode())
    assert SECRET not in json.dumps(allowed)


async def test_a_placeholder_in_a_tools_arguments(client: Client, origin: Origin) -> None:
    calls = [{"key": WORD}, {"key": "a", "q": WORD}, {"key": "a", "X-Note": WORD}, {"key": "a", "X-Note": WORD.lower()}]
    results = await run(client, "javascript", CALL, calls=calls)
    assert [result.get("error") for result in results] == ["denied"] * len(calls)
    assert origin.received == []


@LANGUAGES
async def test_a_redirect_into_a_private_network_ends_a_fetch(
    client: Client, inside: TestCell, origin: Origin, language: str
) -> None:
    def away(request: Received) -> bytes:
        return answer(b"", "302 Found", ("Location", f"http://elsewhere.internal:{origin.port}/open/x"))

    origin.handler = away
    (result,) = await fetched(client, language, f"{inside.site}/open/x")
    assert "error" in result
    assert len(origin.received) == 1


@LANGUAGES
async def test_a_websocket_or_an_upgrade_from_a_program(
    client: Client, inside: TestCell, origin: Origin, language: str
) -> None:
    origin.handler = lambda _: b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello"
    headers = {"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
    (result,) = await fetched(client, language, f"{inside.site}/open/x", headers=headers)
    assert "error" in result
    assert all("upgrade" not in request.names() for request in origin.received)


def tool_call(name: str) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}})


SMUGGLED_CALLS = [
    tool_call("drop"),
    f"[{tool_call('search')}, {tool_call('drop')}]",
    tool_call("search").replace('"name"', '"name": "drop", "name"'),
    tool_call("search").replace('"params"', '"Method": "x", "params"'),
    tool_call("search") + tool_call("drop"),
    "",
]


@LANGUAGES
async def test_a_tool_that_a_rule_does_not_name_from_a_program(
    client: Client, inside: TestCell, origin: Origin, language: str
) -> None:
    """The refusal tells the program which rule came closest and the smallest that would do."""
    init = {"method": "PUT", "headers": {"content-type": "application/json"}}
    calls = [[f"{inside.site}/mcp", {**init, "body": body}] for body in [*SMUGGLED_CALLS, tool_call("search")]]
    *refused, allowed = await run(client, language, FETCH[language], requests=calls)
    assert allowed.get("status") == 200, allowed
    assert [result.get("error") for result in refused] == ["denied"] * len(SMUGGLED_CALLS)
    assert 'rule "tools": the body calls the tool "drop"' in refused[0]["message"]
    assert refused[0]["details"]["hint"]["mcp"] == {"tools": ["drop"]}
    assert [request.body.decode() for request in origin.received] == [tool_call("search")]


@LANGUAGES
async def test_a_body_that_pretends_to_be_a_second_request(
    client: Client, inside: TestCell, origin: Origin, language: str
) -> None:
    smuggled = "0\r\n\r\nGET /secret HTTP/1.1\r\nHost: site.internal\r\n\r\n"
    (result,) = await fetched(client, language, f"{inside.site}/open/x", method="POST", body=smuggled)
    assert result["status"] == 200
    assert [request.line for request in origin.received] == ["POST /open/x HTTP/1.1"]
    assert origin.received[0].body == smuggled.encode()


KEYS = [
    "..", "../../admin", "%2e%2e%2fadmin", "..%2f..%2fadmin", "a/../../admin", "a\\..\\admin", "a?admin=1", "a#b",
    "a;x=1", "a\0b", "a\r\nX-Injected: 1", "", ".", "//evil.test/", "http://169.254.169.254/", "a%00b",
    "é\u202e", "plain",
]  # fmt: skip


async def test_arguments_of_a_tool_stay_in_their_place(client: Client, origin: Origin) -> None:
    """A path argument is one segment of the operation's path, whatever it says; or the call is refused."""
    for result in await run(client, "javascript", CALL, calls=[{"key": key} for key in KEYS]):
        assert set(result) in ({"value"}, {"error", "message"})
    for request in origin.received:
        target = request.line.split()[1]
        assert target.startswith("/v1/items/"), request.line
        assert "/" not in target.removeprefix("/v1/items/")
        assert "?" not in target
        assert ".." not in target.split("/")
        assert "x-injected" not in request.names()
    assert "POST /v1/items/plain HTTP/1.1" in [request.line for request in origin.received]


@pytest.fixture
def recorded(inside: TestCell) -> Callable[[], str]:
    """Everything the egress proxy wrote."""
    return lambda: "".join(file.read_text() for file in inside.state.path.glob("egress*"))


async def test_headers_and_queries_of_a_tool_cannot_carry_more_than_their_value(client: Client, origin: Origin) -> None:
    calls = [
        {"key": "a", "X-Note": "b\r\nX-Injected: 1"}, {"key": "a", "X-Note": "b\nX-Injected: 1"},
        {"key": "a", "q": "b&key=c#d\r\nX-Injected: 1"}, {"key": "a", "authorization": "Bearer mine"},
    ]  # fmt: skip
    await run(client, "javascript", CALL, calls=calls)
    for request in origin.received:
        assert "x-injected" not in request.names()
        assert "&key=" not in request.line
        assert request.header("authorization") == f"Bearer {SECRET}"


async def test_a_credential_never_comes_back_to_a_tools_caller(
    client: Client, recorded: Callable[[], str], origin: Origin
) -> None:
    (result,) = await run(client, "javascript", CALL, calls=[{"key": "a"}])
    assert origin.received[0].header("authorization") == f"Bearer {SECRET}"
    assert SECRET not in json.dumps(result)
    assert "[redacted:inside]" in result["value"]
    assert SECRET not in recorded()


async def test_a_tools_redirect_is_not_followed_into_a_private_network(client: Client, origin: Origin) -> None:
    origin.handler = lambda _: answer(b"", "307 Temporary Redirect", ("Location", "http://169.254.169.254/latest"))
    (result,) = await run(client, "javascript", CALL, calls=[{"key": "a"}])
    assert "169.254.169.254" not in result.get("value", "")
    assert len(origin.received) == 1
