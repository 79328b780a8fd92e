"""The pair as MCP clients see it: the official SDK's client, over every transport."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as t
import pytest
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

from runtime.portal import pair
from runtime.portal.mcp_http import PATH, portal_app, principal_of
from runtime.portal.mcp_server import portal_server
from tests.portal.fake_face import FakeFace
from tests.portal.parts import served

ROOT = Path(__file__).parents[2]
TOKEN = "t0ken"

type Connect = Callable[..., AbstractAsyncContextManager[Client]]


@asynccontextmanager
async def over_http(face: FakeFace, mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    app = portal_app({PATH: portal_server(face, "9.9", principal_of)}, lambda token: "ann" if token == TOKEN else None)
    async with (
        served(app) as port,
        httpx2.AsyncClient(headers={"authorization": f"Bearer {TOKEN}"}, trust_env=False, timeout=30) as http,
        Client(
            streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=http), mode=mode, cache=None, **options
        ) as client,
    ):
        yield client


@asynccontextmanager
async def over_stdio(_: FakeFace, mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    parameters = StdioServerParameters(
        command=sys.executable, args=["-m", "tests.portal.servers.portal_stdio"], cwd=ROOT
    )
    async with Client(parameters, mode=mode, cache=None, **options) as client:
        yield client


@asynccontextmanager
async def in_memory(face: FakeFace, mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    async with Client(portal_server(face, "9.9"), mode=mode, cache=None, **options) as client:
        yield client


@pytest.fixture(params=[(over_http, "auto"), (over_http, "legacy"), (over_stdio, "auto"), (over_stdio, "legacy")],
                ids=["http", "http-legacy", "stdio", "stdio-legacy"])  # fmt: skip
def connect(request: pytest.FixtureRequest) -> Connect:
    transport, mode = request.param

    def connected(face: FakeFace | None = None, **options: Any) -> AbstractAsyncContextManager[Client]:
        client: AbstractAsyncContextManager[Client] = transport(face or FakeFace(), mode, **options)
        return client

    return connected


def said(result: t.CallToolResult) -> str:
    assert len(result.content) == 1
    assert isinstance(result.content[0], t.TextContent)
    return result.content[0].text


async def test_search_describe_and_execute(connect: Connect) -> None:
    async with connect() as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["search", "execute"]
        assert client.instructions == pair.INSTRUCTIONS
        found = await client.call_tool("search", {"query": "issue frob"})
        assert not found.is_error
        assert said(found).splitlines() == [
            "codemode.github.issuesGet({owner: string, issue_number: number}): Promise<Issue>",
            "  Get an issue [reads]",
            "No tool has: frob",
            '7 in all; more with cursor "1.1"',
        ]
        assert found.structured_content["tools"][0]["name"] == "github.issuesGet"
        described = await client.call_tool("search", {"describe": ["github.issuesGet"], "language": "python"})
        assert said(described) == "python: github.issuesGet\n\nThere is no tool or type x (nearest: y)"
        program = {"code": "return 1", "language": "python", "inputs": {"a": None}, "profile": "trusted"}
        ran = await client.call_tool("execute", program)
        assert json.loads(said(ran)) == program
        assert ran.structured_content == {"execution_id": "x-1", "status": "succeeded", "result": program}


async def test_an_error_of_the_program(connect: Connect) -> None:
    async with connect() as client:
        failed = await client.call_tool("execute", {"code": "fail"})
        assert failed.is_error
        assert said(failed) == (
            "TypeError: x is not a function (line 3, column 11)\n"
            "    3 | const y = x();\n"
            "      |           ^\n\n"
            "It had made calls that may have changed something: github.issuesCreate ok"
        )
        assert failed.structured_content["error"]["line"] == 3
        limited = await client.call_tool("execute", {"code": "limit"})
        assert limited.is_error
        assert "Limit wall_ms = 30000\n\nIt had made no calls." in said(limited)


async def test_logs_come_while_the_program_runs(connect: Connect) -> None:
    heard: list[tuple[str, str]] = []

    async def on_log(line: t.LoggingMessageNotificationParams) -> None:
        heard.append((line.level, line.data))

    async with connect(logging_callback=on_log, log_level="info") as client:
        if client.protocol_version != "2026-07-28":
            await client.session.send_request(
                t.SetLevelRequest(params=t.SetLevelRequestParams(level="info")), t.EmptyResult
            )
        ran = await client.call_tool("execute", {"code": "log hi"})
        assert said(ran) == '"done"\n\nLog:\ndebug: hi 1\nhi 2\nerror: hi 3'
    assert heard == [("info", "hi 2"), ("error", "hi 3")]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_log_line_does_not_wait_for_the_end(mode: str) -> None:
    first = asyncio.Event()

    async def on_log(_: t.LoggingMessageNotificationParams) -> None:
        first.set()

    face = FakeFace()
    async with over_http(face, mode, logging_callback=on_log, log_level="debug") as client:
        running = asyncio.create_task(client.call_tool("execute", {"code": "log slowly"}))
        async with asyncio.timeout(20):
            await first.wait()
        assert not running.done()
        face.go_on.set()
        assert not (await running).is_error


async def test_a_client_that_asked_for_no_logs_gets_none() -> None:
    heard: list[Any] = []

    async def on_log(line: t.LoggingMessageNotificationParams) -> None:
        heard.append(line)

    async with over_http(FakeFace(), logging_callback=on_log) as client:
        await client.call_tool("execute", {"code": "log hi"})
    assert heard == []


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_cancelling_the_request_cancels_the_program(mode: str) -> None:
    face = FakeFace()
    async with over_http(face, mode) as client:
        running = asyncio.create_task(client.call_tool("execute", {"code": "wait"}))
        async with asyncio.timeout(20):
            await face.waiting.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            await face.cancelled.wait()
        assert not (await client.call_tool("execute", {"code": "1"})).is_error


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("search", {}, 'query: is required, unless describe or code is given. An empty query ("") lists all tools.'),
        ("search", {"query": 5}, "query: expected a string, not 5"),
        ("search", {"query": "x", "limit": 0}, "limit: expected at least 1, not 0"),
        ("search", {"query": "x", "cursor": "bad"}, "cursor: this is not a cursor of a search"),
        ("search", {"querry": "x"}, "querry: is not an argument; there are query, describe, code, detail, language, "
         "limit, cursor"),
        ("execute", {}, "code: is required, or resume with"),
        (
            "execute",
            {"code": "x", "language": "ruby"},
            'language: expected "javascript" or "typescript" or "python", not "ruby"',
        ),
        ("execute", {"code": "refuse"}, 'there is no profile "x"'),
        ("github.issuesGet", {"owner": "a"}, "github.issuesGet is called inside a program. Call execute with code like:"
         "\nreturn await codemode.github.issuesGet({owner: string, issue_number: number});"),
        ("github_issuesGet", {}, "github.issuesGet is called inside a program."),
        ("codemode.github.issuesGet", {}, "github.issuesGet is called inside a program."),
        ("issuesList", {}, 'There is no tool "issuesList"; the nearest is github.issuesGet. Call execute'),
        ("nothing", {}, 'There is no tool "nothing". There are search and execute.'),
    ],
)  # fmt: skip
async def test_what_is_refused_says_what_to_do(name: str, arguments: dict[str, Any], told: str) -> None:
    async with in_memory(FakeFace()) as client:
        refused = await client.call_tool(name, arguments)
    assert refused.is_error
    assert said(refused).startswith(told)


async def test_whom_the_token_proved_and_what_the_client_calls_itself(connect: Connect) -> None:
    async with connect(client_info=t.Implementation(name="my-agent", version="1")) as client:
        principal, called = json.loads(said(await client.call_tool("execute", {"code": "who"})))
    assert principal in ("ann", "")
    assert called == "my-agent"


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("authorization", "Bearer wrong")],
        [("authorization", TOKEN)],
        [("authorization", "Basic dDprZW4=")],
        [("authorization", f"Bearer {TOKEN}"), ("authorization", f"Bearer {TOKEN}")],
        [("authorization", "Bearer \xff")],
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
async def test_nothing_without_a_token(headers: list[tuple[str, str]], method: str) -> None:
    app = portal_app({PATH: portal_server(FakeFace(), "9.9")}, lambda token: "ann" if token == TOKEN else None)
    sent = [(key.encode(), value.encode("latin-1")) for key, value in headers]
    async with served(app) as port, httpx2.AsyncClient(trust_env=False) as http:
        for path in ("/mcp", "/", "/elsewhere"):
            answer = await http.request(method, f"http://127.0.0.1:{port}{path}", headers=sent, content=b"{}")
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == 'Bearer realm="lockgate"'


@pytest.mark.parametrize("header", [("host", "evil.example"), ("origin", "https://evil.example")])
async def test_another_site_cannot_reach_it_through_a_browser(header: tuple[str, str]) -> None:
    app = portal_app({PATH: portal_server(FakeFace(), "9.9")}, lambda _: "ann")
    async with served(app) as port, httpx2.AsyncClient(trust_env=False) as http:
        headers = {"authorization": "Bearer x", header[0]: header[1], "accept": "application/json, text/event-stream"}
        answer = await http.post(f"http://127.0.0.1:{port}/mcp", headers=headers, json={})
        assert answer.status_code in (403, 421)


async def test_a_result_of_broken_text_is_repaired() -> None:
    async with over_http(FakeFace()) as client:
        ran = await client.call_tool("execute", {"code": "broken"})
        assert json.loads(said(ran)) == "é\u2028?"
        assert ran.structured_content["result"] == "é\u2028?"
