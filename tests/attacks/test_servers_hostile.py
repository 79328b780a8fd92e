"""MCP servers that hang, flood and lie, each beside a server that does not and programs that call nobody.

A real cell, real child processes, and HTTP through the egress proxy.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from runtime.client import Client
from runtime.rpc import runtime_pb2 as pb
from runtime.service.cell import CellOptions
from tests.attacks.target import Target
from tests.cell import ROOT, open_shared_state, running_cell, running_module, upstreams_settled
from tests.service.programs import request

SERVER = Path(__file__).parent / "misbehaving.py"
CALL = "try { return await codemode[inputs.up][inputs.tool](inputs.with ?? {}); } catch (e) { return {%s}; }"
FAILED = "code: e.code, message: e.message, retryable: e.retryable, retry_after: e.retryAfter ?? e.retry_after ?? null"
STDIO = (
    "flood_log", "flood_progress", "flood_list_changed", "flood_garbage", "flood_answers", "flood_one_line",
    "flood_requests", "flood_stderr", "storm", "endless_pages", "large", "lies", "hang", "deaf", "half_and_die",
)  # fmt: skip
HTTP = ("http", "http_comments", "http_log", "http_hang", "http_ends")


def config(url: str) -> dict[str, Any]:
    port = urlsplit(url).port
    child = {"kind": "mcp", "command": [sys.executable, str(SERVER)], "call_timeout_ms": 20_000}
    remote = {
        "kind": "mcp", "url": f"http://hostile.test.internal:{port}/mcp", "networks": ["127.0.0.1/32"],
        "call_timeout_ms": 20_000,
    }  # fmt: skip
    impatient = {"call_timeout_ms": 300}
    quick = {"hang", "deaf", "http_hang", "http_ends"}
    return {
        "profiles": ["profiles"],
        "hosts": {"hostile.test.internal": "127.0.0.1"},
        "upstreams": {
            "notes": {"kind": "mcp", "command": [sys.executable, "-m", "tests.demo.notes"], "cwd": str(ROOT)},
            **{name: child | (impatient if name in quick else {}) for name in STDIO},
            **{name: remote | (impatient if name in quick else {}) for name in HTTP},
        },
    }


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    directory = tmp_path_factory.mktemp("hostile")
    profile = {
        "name": "tests",
        "version": 1,
        "languages": ["javascript"],
        "environments": ["dev"],
        "limits": {"active_ms": 20_000, "wall_ms": 25_000, "host_calls": 50, "parallel_host_calls": 50},
        "tools": {"allow": ["*.*"]},
    }
    directory.joinpath("profiles").mkdir()
    directory.joinpath("profiles", "tests.yaml").write_text(yaml.safe_dump(profile))
    with running_module("tests.attacks.misbehaving_http") as url:
        file = directory / "lockgate.yaml"
        file.write_text(yaml.safe_dump(config(url)))
        options = CellOptions(state=open_shared_state(directory / "state"), config_file=file, any_port=True)
        with running_cell(options) as cell:
            asyncio.run(upstreams_settled(cell.grpc_address, cell.token))
            yield Target(cell=cell, site=url)


@pytest.fixture
async def client(target: Target) -> AsyncIterator[Client]:
    async with Client(target.cell.grpc_address, target.cell.token) as client:
        yield client


async def ask(client: Client, upstream: str, tool: str, **arguments: Any) -> Any:
    inputs = {"up": upstream, "tool": tool, "with": arguments}
    done = await client.execute(request(CALL % FAILED, inputs=inputs))
    assert done.status == pb.STATUS_SUCCEEDED, done.error
    return json.loads(done.result_json)


async def others_go_on(client: Client) -> None:
    """A program that calls nobody, and one that calls somebody else."""
    plain, noted = await asyncio.gather(
        client.execute(request("return 1 + 1")),
        ask(client, "notes", "search_notes", words="x"),
    )
    assert plain.result_json == "2"
    assert "code" not in noted, noted


@contextlib.asynccontextmanager
async def beside_others(client: Client) -> AsyncIterator[None]:
    """While the block lasts, others are served again and again."""
    rounds = 0

    async def serve() -> None:
        nonlocal rounds
        while True:
            await others_go_on(client)
            rounds += 1

    serving = asyncio.create_task(serve())
    try:
        yield
        await others_go_on(client)
        if serving.done():
            serving.result()
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def state_of(client: Client, upstream: str) -> Any:
    return next(state for state in (await client.health()).upstreams if state.name == upstream)


async def back(client: Client, upstream: str) -> None:
    """It was closed, and is connected again by itself."""
    async with asyncio.timeout(30):
        while (await ask(client, upstream, "say")) != "hello":
            await asyncio.sleep(0.05)


FLOODS = {
    "flood_log": "nobody asked for",
    "flood_progress": "nobody asked for",
    "flood_list_changed": "nobody asked for",
    "flood_garbage": "nobody asked for",
    "flood_answers": "nobody asked for",
    "flood_one_line": "nobody asked for",
    "flood_requests": "nobody asked for",
}


@pytest.mark.parametrize("attack", FLOODS)
async def test_a_server_that_floods_is_closed_with_the_reason(target: Target, client: Client, attack: str):
    before = target.gateway.memory_info().rss
    async with beside_others(client):
        failed = await ask(client, attack, attack)
        assert (failed["code"], failed["retryable"]) == ("unavailable", False)
        assert FLOODS[attack] in failed["message"]
        await back(client, attack)
    assert target.gateway.memory_info().rss - before < 64 << 20


async def test_a_server_that_pours_into_its_standard_error_answers_all_the_same(target: Target, client: Client):
    async with beside_others(client):
        assert await ask(client, "flood_stderr", "flood_stderr") == "pouring"
        for number in range(10):
            assert await ask(client, "flood_stderr", "say", text=str(number)) == str(number)
    assert (await state_of(client, "flood_stderr")).state == "ready"


async def test_a_storm_of_changed_lists_is_not_a_storm_of_requests(client: Client):
    before = int(await ask(client, "storm", "listed"))
    async with beside_others(client):
        for _ in range(5):
            assert await ask(client, "storm", "storm") == "storm is over"
    assert int(await ask(client, "storm", "listed")) - before < 50


async def test_pages_without_end_are_read_to_a_bound(client: Client):
    async with beside_others(client):
        assert await ask(client, "endless_pages", "endless_pages") == "from now on"
        async with asyncio.timeout(30):
            while "goes on after 200 pages" not in (await state_of(client, "endless_pages")).reason:
                await asyncio.sleep(0.05)
        assert await ask(client, "endless_pages", "say", text="still") == "still"


@pytest.mark.parametrize("attack", ["large", "large_id_last", "bomb", "deep"])
async def test_an_answer_that_is_too_much_fails_its_own_call_alone(client: Client, attack: str):
    async with beside_others(client):
        failed, said = await asyncio.gather(
            ask(client, "large", attack), ask(client, "large", "say", text="in between")
        )
        assert failed["code"] == "limit", failed
        assert "the call was made" in failed["message"]
        assert said == "in between"
    assert (await state_of(client, "large")).state == "ready"


LIES = {
    "another_id": "for you",
    "twice": "first",
    "wrong_types": "all wrong",
    "wrong_result": "upstream_error",
    "wrong_content": "upstream_error",
    "surrogates": "upstream_error",
}


@pytest.mark.parametrize("attack", LIES)
async def test_a_lie_reaches_nobody_it_was_not_told(client: Client, attack: str):
    async with beside_others(client):
        told = await ask(client, "lies", attack)
        assert (told["code"] if isinstance(told, dict) else told) == LIES[attack]
        assert await ask(client, "lies", "say", text="next") == "next"
    assert (await state_of(client, "lies")).state == "ready"


async def test_answers_out_of_order_find_their_calls(client: Client):
    async with beside_others(client):
        told = await asyncio.gather(*(ask(client, "lies", "pair", text=word) for word in ("first", "second")))
    assert told == ["first", "second"]


async def test_an_answer_after_the_cancellation_is_nobody_elses(client: Client):
    before = int(await ask(client, "lies", "cancels"))
    running = client.stream(request("await codemode.lies.after_cancel({})"))
    async with beside_others(client):
        async for event in running:
            if event.HasField("accepted"):
                execution = event.accepted.execution_id
            if event.HasField("call_started"):
                break
        await asyncio.gather(*(ask(client, "lies", "say", text="x") for _ in range(3)))
        await client.cancel(execution, "enough")
        async with asyncio.timeout(20):
            while int(await ask(client, "lies", "cancels")) == before:
                pass
        assert await ask(client, "lies", "say", text="mine") == "mine"


@pytest.mark.parametrize("upstream", ["hang", "deaf"])
async def test_a_server_that_hangs_is_not_waited_for_any_longer(client: Client, upstream: str):
    async with beside_others(client):
        late = await asyncio.gather(*(ask(client, upstream, upstream) for _ in range(5)))
        assert {each["code"] for each in late} == {"timeout"}
        refused = await ask(client, upstream, "say")
        assert (refused["code"], refused["retryable"]) == ("unavailable", True)
        assert 0 < refused["retry_after"] <= 30
        told = await state_of(client, upstream)
        assert (told.state, told.failures) == ("tripped", 5)


async def test_a_server_that_dies_within_its_answer_is_started_again(client: Client):
    async with beside_others(client):
        died = await ask(client, "half_and_die", "half_and_die")
        assert (died["code"], died["retryable"]) == ("unavailable", False)
        await back(client, "half_and_die")


HTTP_ATTACKS = {
    "endless_body": "limit",
    "endless_event": "limit",
    "bomb": "limit",
    "another_id": "timeout",
    "no_type": "upstream_error",
    "wrong_result": "upstream_error",
    "refused": "upstream_error",
}


@pytest.mark.parametrize("attack", HTTP_ATTACKS)
async def test_an_answer_over_http_that_is_too_much_or_wrong_fails_its_own_call_alone(client: Client, attack: str):
    async with beside_others(client):
        failed, said = await asyncio.gather(ask(client, "http", attack), ask(client, "http", "say"))
        assert failed["code"] == HTTP_ATTACKS[attack], failed
        assert said == "hello"
    assert (await state_of(client, "http")).state == "ready"


@pytest.mark.parametrize("upstream", ["http_comments", "http_log"])
async def test_a_stream_over_http_that_says_nothing_without_end_is_closed(client: Client, upstream: str):
    attack = upstream.replace("http", "endless")
    async with beside_others(client):
        failed = await ask(client, upstream, attack)
        assert failed["code"] == "unavailable", failed
        await back(client, upstream)


async def test_streams_over_http_that_end_at_once_are_not_taken_up_without_end(client: Client):
    before = int(await ask(client, "http_ends", "opened"))
    async with beside_others(client):
        failed = await ask(client, "http_ends", "ends_and_ends")
        assert failed["code"] == "timeout"
    assert int(await ask(client, "http_ends", "opened")) - before < 20


async def test_a_server_over_http_that_hangs_is_not_waited_for_any_longer(client: Client):
    async with beside_others(client):
        late = await asyncio.gather(*(ask(client, "http_hang", "hang") for _ in range(5)))
        assert {each["code"] for each in late} == {"timeout"}
        assert (await ask(client, "http_hang", "say"))["code"] == "unavailable"
