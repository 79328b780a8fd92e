"""Real MCP servers by the official SDK, over both transports."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest

from runtime.enclosure.environment import proxy_environment
from runtime.execution.hostcall import HostCallError
from runtime.portal.upstreams import Upstreams
from sandboxes.upstream import McpStdioUpstream
from tests.portal.parts import NOTES, caller_of, context, free_port, http_notes, stdio_notes, until, upstreams

READY = "ready"


@asynccontextmanager
async def http_server(port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, str(NOTES), "http", str(port), stdout=-3, stderr=-3)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ready(running: Upstreams, name: str) -> None:
    await until(running, lambda: running.states[name].phase == READY)


async def value(running: Upstreams, name: str, **arguments: Any) -> Any:
    return json.loads((await caller_of(running).call(name, arguments, context())).payload)


async def failure(running: Upstreams, name: str, seconds: float = 20, **arguments: Any) -> HostCallError:
    with pytest.raises(HostCallError) as error:
        await caller_of(running).call(name, arguments, context(seconds=seconds))
    return error.value


@pytest.fixture(params=["stdio", "http"])
async def notes(request: pytest.FixtureRequest) -> AsyncIterator[Upstreams]:
    if request.param == "stdio":
        async with upstreams({"notes": stdio_notes()}) as running:
            await ready(running, "notes")
            yield running
        return
    port = free_port()
    async with http_server(port), upstreams({"notes": http_notes(port)}) as running:
        await ready(running, "notes")
        yield running


async def test_calls(notes: Upstreams) -> None:
    assert await value(notes, "notes.add_note", text="a", tags=["x"]) == {"id": 1, "text": "a", "tags": ["x"]}
    assert await value(notes, "notes.listNotes") == {"result": [{"id": 1, "text": "a", "tags": []}]}
    assert await value(notes, "notes.say", text="[1]") == [1]
    assert await value(notes, "notes.picture") == [
        "a dot",
        {"type": "image", "data": "iVBORw==", "mimeType": "image/png"},
    ]
    assert await value(notes, "notes.then_", constructor="c") == "c"
    assert (await failure(notes, "notes.fail", reason="on purpose")).message.endswith("on purpose")
    wrong = await failure(notes, "notes.say", txt="x")
    assert wrong.code == "invalid_argument"
    assert "txt: is not an argument; there are text" in wrong.message
    caller = caller_of(notes)
    assert caller.read_only("notes.listNotes")
    assert not caller.read_only("notes.add_note")


async def test_many_calls_at_once_and_one_that_hangs(notes: Upstreams) -> None:
    hanging = asyncio.create_task(failure(notes, "notes.hang", seconds=1.5))
    said = await asyncio.gather(*(value(notes, "notes.say", text=f"t{n}") for n in range(100)))
    assert said == [f"t{n}" for n in range(100)]
    late = await hanging
    assert (late.code, late.retryable) == ("timeout", False)
    assert "whether the tool did its work is not known" in late.message
    assert await value(notes, "notes.say", text="still here") == "still here"


async def test_cancelling_a_call(notes: Upstreams) -> None:
    task = asyncio.create_task(value(notes, "notes.hang"))
    await value(notes, "notes.say", text="x")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(20):
        while await value(notes, "notes.cancelled") != "1":
            pass
    assert await value(notes, "notes.say", text="x") == "x"


async def test_a_server_that_dies_is_started_again() -> None:
    async with upstreams({"notes": stdio_notes()}) as running:
        await ready(running, "notes")
        died = await failure(running, "notes.die")
        assert (died.code, died.retryable) == ("unavailable", False)
        await until(running, lambda: running.states["notes"].phase == "down")
        assert "notes.say" in running.catalog.tools
        assert (await failure(running, "notes.say", text="x")).code == "unavailable"
        await ready(running, "notes")
        assert await value(running, "notes.say", text="back") == "back"


async def test_a_server_down_at_start_that_comes_goes_and_comes_back() -> None:
    port = free_port()
    async with upstreams({"web": http_notes(port)}) as running:
        await until(running, lambda: running.states["web"].phase == "down")
        assert "connection attempts failed" in running.states["web"].reason
        early = await failure(running, "web.say", text="x")
        assert (early.code, early.retryable) == ("unavailable", True)
        for _ in range(2):
            async with http_server(port):
                await ready(running, "web")
                assert await value(running, "web.say", text="here") == "here"
            lost = await failure(running, "web.say", text="x")
            assert (lost.code, lost.retryable) == ("unavailable", True)
            await until(running, lambda: running.states["web"].phase == "down")


async def test_each_call_goes_out_under_its_own_token_and_the_rest_under_the_services() -> None:
    port = free_port()
    async with http_server(port), upstreams({"web": http_notes(port)}) as running:
        await ready(running, "web")
        digest = http_notes(port).rule_set("web").digest()
        said = await asyncio.gather(*(value(running, "web.whoami") for _ in range(10)))
        assert set(said) == {f"token for {digest}"}


async def test_a_child_sees_a_minimal_environment_and_ends_with_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_SECRET", "s3cret")
    async with upstreams({"notes": stdio_notes(env={"NOTES_DIR": "here"})}) as running:
        await ready(running, "notes")
        seen = await value(running, "notes.environment")
        # This process may have other children: a cell that other tests share.
        children = [child for child in psutil.Process().children() if str(NOTES) in child.cmdline()]
        assert children
    assert seen["NOTES_DIR"] == "here"
    kept = {"NOTES_DIR", "HOME", "PATH", "LOGNAME", "SHELL", "TERM", "USER", "LC_CTYPE"}
    assert set(seen) <= kept | set(proxy_environment("", ""))
    _, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (("no-such-program-here",), "there is no no-such-program-here"),
        ((sys.executable, "-c", "raise SystemExit('cannot find my database')"), "cannot find my database"),
        ((sys.executable, "-c", "print('not json'); print('[]')"), ""),
    ],
)
async def test_a_command_that_cannot_serve_says_why(command: tuple[str, ...], reason: str) -> None:
    config = McpStdioUpstream(kind="mcp", command=command)
    async with upstreams({"bad": config, "notes": stdio_notes()}) as running:
        await until(running, lambda: running.states["bad"].phase == "down")
        assert reason in running.states["bad"].reason
        await ready(running, "notes")
        assert await value(running, "notes.say", text="x") == "x"


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.portal.mcp_upstream.CONNECT_TIMEOUT_S", 0.3)
    silent = McpStdioUpstream(kind="mcp", command=(sys.executable, "-c", "import sys; sys.stdin.read()"))
    running = upstreams({"silent": silent})
    service: Any = running.find("silent")._inner  # type: ignore[union-attr]
    service._connect_timeout_s = 0.3
    async with running:
        await until(running, lambda: running.states["silent"].phase == "down")
        assert running.states["silent"].reason == "no answer in time"


async def test_a_stopped_server_times_out_and_goes_on_when_continued() -> None:
    async with upstreams({"notes": stdio_notes(call_timeout_ms=300)}) as running:
        await ready(running, "notes")
        child = next(c for c in psutil.Process().children() if str(NOTES) in c.cmdline())
        os.kill(child.pid, signal.SIGSTOP)
        try:
            assert (await failure(running, "notes.say", text="x")).code == "timeout"
        finally:
            os.kill(child.pid, signal.SIGCONT)
        await until(running, lambda: running.states["notes"].phase == READY)
        assert await value(running, "notes.say", text="x") == "x"
