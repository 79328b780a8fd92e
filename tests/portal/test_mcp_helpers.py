"""Resources and prompts of real MCP servers, as tools of the catalog; and progress on its way."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime.execution.hostcall import HostCallError
from runtime.portal.declarations import declare
from runtime.portal.finder import Finder
from runtime.portal.upstreams import Upstreams
from sandboxes.upstream import McpHttpUpstream, McpStdioUpstream
from tests.fixtures.fetch_documents import document, node
from tests.portal.parts import caller_of, context, free_port, stdio_notes, until, upstreams

OFFERING = Path(__file__).parent / "servers" / "offering.py"


def offering(**more: Any) -> McpStdioUpstream:
    return McpStdioUpstream(kind="mcp", command=(sys.executable, str(OFFERING), "stdio"), **more)


async def ready(running: Upstreams, name: str) -> None:
    await until(running, lambda: running.states[name].phase == "ready")


async def value(running: Upstreams, name: str, /, **arguments: Any) -> Any:
    return json.loads((await caller_of(running).call(name, arguments, context())).payload)


@pytest.fixture(params=["stdio", "http"])
async def memo(request: pytest.FixtureRequest) -> AsyncIterator[Upstreams]:
    if request.param == "stdio":
        async with upstreams({"memo": offering()}) as running:
            await ready(running, "memo")
            yield running
        return
    port = free_port()
    config = McpHttpUpstream(kind="mcp", url=f"http://127.0.0.1:{port}/mcp", networks=("127.0.0.1/32",))
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(OFFERING), "http", str(port), stdout=-3, stderr=-3
    )
    try:
        async with upstreams({"memo": config}) as running:
            await ready(running, "memo")
            yield running
    finally:
        process.kill()
        await process.wait()


async def test_resources_and_prompts_are_read_by_programs(memo: Upstreams) -> None:
    listed = await value(memo, "memo.mcp_resources_list")
    assert {each["uri"] for each in listed["resources"]} == {"memo://today", "memo://picture"}
    (template,) = (await value(memo, "memo.resources_templates"))["resourceTemplates"]
    assert template["uriTemplate"] == "memo://{day}/list"
    (content,) = (await value(memo, "memo.resources_read", uri="memo://today"))["contents"]
    assert (content["text"], content["mimeType"]) == ("water the plants", "text/plain")
    (content,) = (await value(memo, "memo.resources_read", uri="memo://picture"))["contents"]
    assert (content["blob"], content["mimeType"]) == ("iVBORw==", "image/png")
    (content,) = (await value(memo, "memo.resources_read", uri="memo://monday/list"))["contents"]
    assert content["text"] == "nothing on monday"
    (prompt,) = (await value(memo, "memo.prompts_list"))["prompts"]
    assert [each["name"] for each in prompt["arguments"]] == ["day", "tone"]
    got = await value(memo, "memo.prompts_get", name="plan", arguments={"day": "friday"})
    assert got["messages"] == [{"role": "user", "content": {"type": "text", "text": "Plan friday, plain."}}]


async def test_a_tool_of_the_server_keeps_its_name(memo: Upstreams) -> None:
    assert await value(memo, "memo.resources_list", kind="tool") == {"result": "own tool"}


async def test_what_is_not_there_is_an_error_of_the_call(memo: Upstreams) -> None:
    for name, arguments in (
        ("memo.resources_read", {"uri": "memo://nothing"}),
        ("memo.prompts_get", {"name": "nothing"}),
        ("memo.prompts_get", {"name": "plan"}),
    ):
        with pytest.raises(HostCallError) as error:
            await value(memo, name, **arguments)
        assert error.value.code in {"upstream_error", "invalid_argument", "not_found"}


async def test_they_are_found_declared_and_only_read(memo: Upstreams) -> None:
    finder, caller = Finder(memo), caller_of(memo)
    found = await finder.search("read a resource by its uri", 3, None)
    assert "memo.resources_read" in [tool.full_name for tool in found.tools]
    for language, wanted in (("javascript", "contents"), ("python", "contents")):
        text = declare(memo.catalog, ["memo.resources_read"], language, 1_500).text  # type: ignore[arg-type]
        assert wanted in text
    helpers = {name for name in memo.catalog.tools if name not in {"memo.count", "memo.resources_list"}}
    assert helpers == {
        "memo.mcp_resources_list", "memo.resources_templates", "memo.resources_read", "memo.prompts_list",
        "memo.prompts_get",
    }  # fmt: skip
    assert all(caller.read_only(name) for name in helpers)
    shown = caller.preview("memo.resources_read", {"uri": "memo://today"}, context())
    assert shown is not None
    assert (shown.request.method, shown.request.body) == ("resources/read", '{"uri": "memo://today"}')


async def test_a_server_that_has_none_gets_no_tools_for_them() -> None:
    async with upstreams({"notes": stdio_notes()}) as running:
        await ready(running, "notes")
        assert not [name for name in running.catalog.tools if "resources" in name or "prompts" in name]


async def test_an_operator_can_leave_them_out() -> None:
    async with upstreams({"memo": offering(deny=("resources/*",), aliases={"prompts/get": "ask"})}) as running:
        await ready(running, "memo")
        assert set(running.catalog.tools) == {"memo.count", "memo.resources_list", "memo.prompts_list", "memo.ask"}
        assert {each.original for each in running.catalog.skipped} == {
            "resources/list", "resources/templates/list", "resources/read",
        }  # fmt: skip
    async with upstreams({"memo": offering(allow=("count",))}) as running:
        await ready(running, "memo")
        assert set(running.catalog.tools) == {"memo.count"}


async def test_progress_is_handed_on(memo: Upstreams) -> None:
    told: list[tuple[float, float, str]] = []
    asked = replace(context(), progress=lambda *each: told.append(each))
    await caller_of(memo).call("memo.count", {"to": 3}, asked)
    assert sorted(told) == [(1, 3, "step 1"), (2, 3, "step 2"), (3, 3, "step 3")]


async def test_the_projects_own_server_has_resources_templates_and_prompts() -> None:
    config = McpStdioUpstream(kind="mcp", command=(node(), str(document("everything")), "stdio"))
    async with upstreams({"all": config}) as running:
        await ready(running, "all")
        resources = (await value(running, "all.resources_list"))["resources"]
        assert resources
        read = (await value(running, "all.resources_read", uri=resources[0]["uri"]))["contents"]
        assert read[0]["uri"] == resources[0]["uri"]
        assert read[0].get("text") or read[0].get("blob")
        assert (await value(running, "all.resources_templates"))["resourceTemplates"]
        prompts = {each["name"] for each in (await value(running, "all.prompts_list"))["prompts"]}
        assert "simple-prompt" in prompts
        got = await value(running, "all.prompts_get", name="simple-prompt")
        assert got["messages"][0]["content"]["type"] == "text"
