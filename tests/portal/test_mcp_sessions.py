"""Sessions over streamable HTTP: lost connections, other people's sessions, progress. The wire by hand."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import mcp_types as t
import pytest
from mcp.server.streamable_http import EventMessage

from runtime.portal.mcp_events import MAX_EVENTS, EventLog, EventRoom
from runtime.portal.mcp_http import PATH, portal_app, principal_of
from runtime.portal.mcp_server import portal_server
from tests.portal.fake_face import FakeFace
from tests.portal.parts import served

HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "hand", "version": "1"},
}


def message(method: str, params: dict[str, Any], number: int | None = 1) -> str:
    return json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **({"id": number} if number else {})})


def execute(code: str, number: int, **more: Any) -> str:
    return message("tools/call", {"name": "execute", "arguments": {"code": code}, **more}, number)


@asynccontextmanager
async def session(face: FakeFace) -> AsyncIterator[tuple[httpx2.AsyncClient, str]]:
    """A client in a session that `ann` opened, and the endpoint. A bearer token proves whom it names."""
    app = portal_app({PATH: portal_server(face, "9.9", principal_of)}, lambda token: token)
    async with served(app) as port, httpx2.AsyncClient(trust_env=False, timeout=20, headers=HEADERS) as http:
        url = f"http://127.0.0.1:{port}/mcp"
        http.headers["authorization"] = "Bearer ann"
        begun = await http.post(url, content=message("initialize", INITIALIZE))
        http.headers["mcp-session-id"] = begun.headers["mcp-session-id"]
        http.headers["mcp-protocol-version"] = "2025-11-25"
        await http.post(url, content=message("notifications/initialized", {}, None))
        yield http, url


async def events(answer: httpx2.Response) -> AsyncIterator[tuple[str, Any]]:
    """Ids and messages of a stream; None for an event that only marks its beginning."""
    number = ""
    async for line in answer.aiter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            number = value
        elif name.startswith("data"):
            yield number, json.loads(value) if value else None


async def heard(answer: httpx2.Response, wanted: str) -> str:
    """Read up to the first message of that method or member; its id."""
    async for number, said in events(answer):
        if said is not None and wanted in (said.get("method"), *said):
            return number
    raise AssertionError(f"the stream ended without {wanted}")


async def lose_connection(http: httpx2.AsyncClient, url: str) -> str:
    """Begin a program that waits after its first log line, hear that line, and hang up."""
    async with http.stream("POST", url, content=execute("log slowly", 2)) as answer:
        return await heard(answer, "notifications/message")


async def test_a_lost_connection_costs_no_answer() -> None:
    face = FakeFace()
    async with session(face) as (http, url):
        last = await lose_connection(http, url)
        face.go_on.set()
        async with http.stream("GET", url, headers={"last-event-id": last}) as resumed:
            told = [said async for _, said in events(resumed) if said is not None]
    lines = [said["params"]["data"] for said in told if said.get("method") == "notifications/message"]
    assert lines == ["slowly 2", "slowly 3"]
    assert told[-1]["result"]["structuredContent"]["result"] == "done"
    assert len(told) == 3


async def test_who_resumes_before_the_answer_hears_it_when_it_comes() -> None:
    face = FakeFace()
    async with session(face) as (http, url):
        last = await lose_connection(http, url)
        async with http.stream("GET", url, headers={"last-event-id": last}) as resumed:
            face.go_on.set()
            async with asyncio.timeout(20):
                await heard(resumed, "result")


async def test_a_session_is_its_principals_alone() -> None:
    face = FakeFace()
    async with session(face) as (http, url):
        last = await lose_connection(http, url)
        other = {"authorization": "Bearer eve", "last-event-id": last}
        assert (await http.get(url, headers=other)).status_code == 404
        assert (await http.post(url, headers=other, content=execute("who", 3))).status_code == 404
        assert (await http.delete(url, headers=other)).status_code == 404
        face.go_on.set()


@pytest.mark.parametrize("last", ["", "0", "999999", "-1", "x", "9" * 5_000])
async def test_an_event_that_never_was_resumes_nothing(last: str) -> None:
    async with session(FakeFace()) as (http, url):
        async with http.stream("GET", url, headers={"last-event-id": last or "none"}) as resumed:
            assert [said async for _, said in events(resumed)] == []
        answer = await http.post(url, content=execute("1", 5))
        assert '"succeeded"' in answer.text


async def test_progress_tells_of_calls_to_who_asked_for_it() -> None:
    async with session(FakeFace()) as (http, url):
        asked = await http.post(url, content=execute("call 2", 2, _meta={"progressToken": "p"}))
        silent = await http.post(url, content=execute("call 2", 3))
    told = [json.loads(line[6:]) for line in asked.text.splitlines() if line.startswith("data: {")]
    progress = [said["params"] for said in told if said.get("method") == "notifications/progress"]
    assert [each["progress"] for each in progress] == [1, 2, 3, 4]
    assert progress[0]["message"] == "call 1 github.issuesGet: begun"
    assert progress[3]["message"] == "call 2 github.issuesGet: ok"
    assert "notifications/progress" not in silent.text


async def test_a_program_that_only_runs_is_said_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.portal.mcp_server.BEAT_S", 0.01)
    async with (
        session(FakeFace()) as (http, url),
        http.stream("POST", url, content=execute("wait", 2, _meta={"progressToken": 7})) as answer,
    ):
        async with asyncio.timeout(20):
            await heard(answer, "notifications/progress")
        await http.post(url, content=message("notifications/cancelled", {"requestId": 2}, None))


@pytest.mark.parametrize("method", ["tools/list", "resources/list"])
async def test_a_cursor_that_was_never_given_out_is_refused(method: str) -> None:
    async with session(FakeFace()) as (http, url):
        refused = await http.post(url, content=message(method, {"cursor": "made up"}))
    assert f'"code":{t.INVALID_PARAMS}' in refused.text


def note(text: str) -> t.JSONRPCNotification:
    return t.JSONRPCNotification(jsonrpc="2.0", method="x", params={"text": text})


async def replayed(log: EventLog, last: str) -> list[Any]:
    told: list[Any] = []

    async def keep(event: EventMessage) -> None:
        told.append(event.message)

    await log.replay_events_after(last, keep)
    return told


async def test_a_log_keeps_streams_apart() -> None:
    log = EventLog()
    first = await log.store_event("1", None)
    await log.store_event("2", note("of another"))
    await log.store_event("1", note("mine"))
    end = t.JSONRPCResponse(jsonrpc="2.0", id=1, result={})
    await log.store_event("1", end)
    assert await replayed(log, first) == [note("mine"), end]


async def test_logs_are_bounded_alone_and_together() -> None:
    room = EventRoom(left=50_000)
    one, other = EventLog(room), EventLog(room)
    for number in range(MAX_EVENTS):
        await one.store_event("1", note("x" * number))
        await other.store_event("1", note("x" * number))
        assert room.left > -10_000
    one.close()
    other.close()
    assert room.left == 50_000
    assert await replayed(one, "1") == []
    await one.store_event("1", note("late"))
    assert room.left == 50_000
