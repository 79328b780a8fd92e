"""Profiles and configuration edited, broken and mended under a running service; its proxy killed mid-request."""

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from runtime.client import Client
from runtime.command.line import run_line
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import Cell, CellOptions
from sandboxes.profile_file import parse_profile
from tests.cell import open_shared_state, running_cell
from tests.egress.origin import Origin, Received, answer
from tests.service.programs import request, run

HOST = "site.test.internal"
FETCH = """
const outcome = async (path) => {{
  try {{ return (await (await fetch("http://{host}:{port}" + path)).text()) }}
  catch (error) {{ return error.code ?? String(error) }}
}}
"""


@dataclass
class Operator:
    """Somebody with an editor, beside a cell that watches the files."""

    directory: Path
    cell: Cell
    origin: Origin

    def write(self, name: str, *paths: str, **more: Any) -> None:
        (self.directory / "profiles" / f"{name}.yaml").write_text(profile(name, self.origin.port, *paths, **more))

    @property
    def fetch(self) -> str:
        return FETCH.format(host=HOST, port=self.origin.port)


def profile(name: str, port: int, *paths: str, **more: Any) -> str:
    rules = [
        {
            "name": path.strip("/"),
            "hosts": [HOST],
            "ports": [port],
            "schemes": ["http"],
            "paths": [path],
            "networks": ["127.0.0.1/32"],
        }
        for path in paths
    ]
    said = {"name": name, "version": 1, "languages": ["javascript"], "environments": ["dev"]}
    return yaml.safe_dump({**said, "egress": {"rules": rules}, **more})


def configuration(address: str = "127.0.0.1") -> str:
    """Two egress processes, so that all of this holds for several."""
    return yaml.safe_dump({"profiles": ["profiles"], "hosts": {HOST: address}, "egress_processes": 2})


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    directory = tmp_path_factory.mktemp("reload")
    origin = Origin(lambda _: answer(b"hello"))
    (directory / "profiles").mkdir()
    config = directory / "lockgate.yaml"
    config.write_text(configuration())
    (directory / "profiles" / "web.yaml").write_text(profile("web", origin.port, "/a"))
    state = open_shared_state(directory / "state")
    with running_cell(CellOptions(state=state, config_file=config, any_port=True, workers=1)) as cell:
        yield Operator(directory, cell, origin)
    origin.close()


@pytest.fixture
async def client(operator: Operator) -> AsyncIterator[Client]:
    operator.origin.handler = lambda _: answer(b"hello")
    operator.origin.received.clear()
    async with Client(operator.cell.grpc_address, operator.cell.token) as client:
        yield client


async def in_force(client: Client, operator: Operator, name: str, *paths: str) -> None:
    """Write a profile, and wait until executions get it."""
    operator.write(name, *paths)
    written = parse_profile(profile(name, operator.origin.port, *paths).encode(), name).digest()
    deadline = time.monotonic() + 20
    while written not in [summary.digest for summary in await client.profiles()]:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def until(client: Client, told: Any) -> pb.GetHealthResponse:
    """The service's health once `told` is true of it."""
    deadline = time.monotonic() + 20
    while True:
        found = await client.health()
        if told(found) or time.monotonic() > deadline:
            assert told(found), found
            return found
        await asyncio.sleep(0.02)


async def outcome(client: Client, operator: Operator, path: str, name: str = "web") -> str:
    ended = await run(client, f"{operator.fetch}\nreturn await outcome('{path}')", profile=name)
    assert ended.status == pb.STATUS_SUCCEEDED, ended
    return json.loads(ended.result_json)


async def test_an_edited_profile_is_in_force_for_the_next_execution(client: Client, operator: Operator) -> None:
    before = (await client.health()).generation
    assert await outcome(client, operator, "/b") == "denied"
    await in_force(client, operator, "web", "/a", "/b")
    assert await outcome(client, operator, "/b") == "hello"
    await in_force(client, operator, "more", "/a")
    assert (await client.health()).generation == before + 2
    assert await outcome(client, operator, "/a", "more") == "hello"


async def test_a_broken_profile_changes_nothing_and_is_told(
    client: Client, operator: Operator, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_force(client, operator, "web", "/a")
    before = (await client.health()).generation
    (operator.directory / "profiles" / "web.yaml").write_text("name: web\negress: {rules: [{name: everything}]}\n")
    told = await until(client, lambda found: found.configuration_problem)
    assert "web.yaml:1:1: version: missing" in told.configuration_problem
    assert told.accepting
    assert await outcome(client, operator, "/a") == "hello"
    monkeypatch.setenv("LOCKGATE_HOME", str(operator.directory / "state"))
    assert await asyncio.to_thread(run_line, ["doctor", "--config", str(operator.directory / "lockgate.yaml")]) != 0
    said = capsys.readouterr().out
    assert "is in force; the files as they are now cannot be loaded" in said
    await in_force(client, operator, "web", "/a", "/c")
    mended = await until(client, lambda found: not found.configuration_problem)
    assert mended.generation > before
    assert await outcome(client, operator, "/c") == "hello"


async def test_a_policy_reloaded_mid_stream_ends_what_it_no_longer_allows(client: Client, operator: Operator) -> None:
    """The stream's rule goes and another of the same profile stays: what runs keeps the one and loses the other."""
    await in_force(client, operator, "streams", "/a", "/stream")
    over = asyncio.Event()
    loop = asyncio.get_running_loop()

    def endless(received: Received) -> Iterator[bytes]:
        if "/stream" not in received.line:
            yield answer(b"hello")
            return
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"
        asyncio.run_coroutine_threadsafe(over.wait(), loop).result(30)

    operator.origin.handler = endless
    code = f"""{operator.fetch}
const first = await outcome("/stream")
return [first, await outcome("/stream"), await outcome("/a")]"""
    running = asyncio.ensure_future(run(client, code, profile="streams"))
    while not any("/stream" in received.line for received in operator.origin.received):
        await asyncio.sleep(0.01)
    operator.write("streams", "/a")
    ended = await running
    over.set()
    assert json.loads(ended.result_json) == ["unavailable", "denied", "hello"]


async def test_private_services_are_reloaded(client: Client, operator: Operator) -> None:
    await in_force(client, operator, "web", "/a")
    before = (await client.health()).generation
    config = operator.directory / "lockgate.yaml"
    config.write_text(configuration("127.0.0.9"))
    after = (await until(client, lambda found: found.generation > before)).generation
    assert await outcome(client, operator, "/a") in {"unavailable", "denied"}
    config.write_text(configuration())
    await until(client, lambda found: found.generation > after)
    assert await outcome(client, operator, "/a") == "hello"


def alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


async def test_the_proxy_killed_mid_request_is_told_with_what_may_have_happened(
    client: Client, operator: Operator
) -> None:
    await in_force(client, operator, "web", "/a")
    over = asyncio.Event()
    loop = asyncio.get_running_loop()

    def silent(_: Received) -> bytes:
        asyncio.run_coroutine_threadsafe(over.wait(), loop).result(30)
        return answer(b"hello")

    operator.origin.handler = silent
    code = f"""try {{ await fetch("http://{HOST}:{operator.origin.port}/a") }}
catch (error) {{ return [error.code, error.retryable, error.details.sent] }}"""
    running = asyncio.ensure_future(run(client, code, profile="web"))
    while not operator.origin.received:
        await asyncio.sleep(0.01)
    killed = operator.cell.pids["egress"]
    others = psutil.Process(killed).children(recursive=True)
    os.kill(killed, signal.SIGKILL)
    assert json.loads((await running).result_json) == ["unavailable", True, True]
    over.set()
    operator.origin.handler = lambda _: answer(b"hello")
    # Those it had started end as well; until then they may take a request with them.
    while operator.cell.pids["egress"] == killed or any(map(alive, others)):
        await asyncio.sleep(0.02)
    code = f"""for (let left = 200; left; left--) {{
  try {{ return await (await fetch("http://{HOST}:{operator.origin.port}/a")).text() }}
  catch (error) {{ if (error.details.sent !== false) throw error; await new Promise((r) => setTimeout(r, 50)) }}
}}"""
    again = await run(client, code, profile="web", limits={})
    assert again.status == pb.STATUS_SUCCEEDED, again
    assert json.loads(again.result_json) == "hello"


async def test_an_execution_that_is_over_takes_its_tokens_along(client: Client, operator: Operator) -> None:
    """What a program left behind is refused: a stream that is asked for by a cancelled execution ends at once."""
    await in_force(client, operator, "web", "/a", "/stream")
    over = threading.Event()
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()

    def endless(_: Received) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        try:
            # So little that no limit of the program ends it.
            while not over.wait(0.01):
                yield b"1\r\nx\r\n"
        finally:
            loop.call_soon_threadsafe(gone.set)

    operator.origin.handler = endless
    operator.origin.received.clear()
    running = client.stream(request(f"{operator.fetch}\nawait outcome('/stream')", profile="web"))
    execution = (await anext(aiter(running))).accepted.execution_id
    while not operator.origin.received:
        await asyncio.sleep(0.01)
    assert not gone.is_set()
    cancelled = await client.cancel(execution, "enough")
    try:
        async with asyncio.timeout(20):
            await gone.wait()
    finally:
        over.set()
    assert cancelled.status == pb.STATUS_CANCELLED
