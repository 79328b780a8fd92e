"""The catalog as data: what a program gets, and what it is told when it asks wrongly."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime.execution.hostcall import HostCallError
from runtime.execution.results import MemoryResults
from runtime.execution.session_store import SessionStores
from runtime.portal.caller import ToolCaller
from runtime.portal.catalog import Catalog
from runtime.portal.catalog_calls import CatalogCalls
from runtime.portal.finder import Finder
from runtime.portal.own_calls import OwnCalls
from runtime.portal.schema import Shape
from runtime.portal.tool import Tool
from runtime.portal.upstream_state import UpstreamState
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from sandboxes.profile import Profile
from tests.portal.parts import caller_of, context, upstreams


def note_tool(name: str, **more: Any) -> Tool:
    shape = Shape(
        schema={"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}, root={}
    )
    return Tool(
        upstream="notes", name=name, original=name, summary=f"Does {name}", description="", input=shape, output=None,
        read_only=name.startswith("read"), **more,
    )  # fmt: skip


@pytest.fixture
def caller() -> ToolCaller:
    running = upstreams({})
    running.catalog = Catalog().with_upstream("notes", [note_tool("read_note"), note_tool("add_note", deprecated=True)])
    running.states["notes"] = UpstreamState(phase="ready")
    return caller_of(running)


async def asked(caller: ToolCaller, name: str, **arguments: Any) -> Any:
    """Under a profile that allows no tool at all."""
    return json.loads((await caller.call(name, arguments, context(allow=()))).payload)


async def test_all_tools_as_data(caller: ToolCaller) -> None:
    assert await asked(caller, "lockgate.tools") == [
        {"name": "notes.read_note", "upstream": "notes", "purpose": "Does read_note", "read_only": True,
         "deprecated": False, "approval": "deny"},
        {"name": "notes.add_note", "upstream": "notes", "purpose": "Does add_note", "read_only": False,
         "deprecated": True, "approval": "deny"},
    ]  # fmt: skip
    assert caller.read_only("lockgate.tools")


async def test_what_the_profile_says_of_each_tool() -> None:
    asking = Profile.model_validate({
        "name": "asking", "version": 1, "languages": ["javascript"], "environments": ["dev", "prod"],
        "tools": {"allow": ["notes.*"], "deny": ["notes.drop_note"]},
        "approvals": {"rules": [
            {"name": "adding", "action": "ask", "tools": ["notes.add*"]},
            {"name": "prod", "action": "ask", "environments": ["prod"]},
        ]},
    })  # fmt: skip
    running = upstreams({})
    tools = [note_tool(name) for name in ("read_note", "add_note", "drop_note")]
    running.catalog = Catalog().with_upstream("notes", tools)
    caller = ToolCaller(running, OwnCalls(CatalogCalls(Finder(running), lambda: {"asking": asking})))
    said = {"notes.read_note": "", "notes.add_note": "ask", "notes.drop_note": "deny"}
    own = replace(context(), tools=asking.tools, approvals=asking.approvals)
    told_of = replace(context(allow=()), catalog_profile="asking")
    for each in (own, told_of):
        listed = json.loads((await caller.call("lockgate.tools", {}, each)).payload)
        assert {tool["name"]: tool["approval"] for tool in listed} == said
        found = json.loads((await caller.call("lockgate.search", {"query": ""}, each)).payload)
        assert {tool["name"]: tool["approval"] for tool in found["tools"]} == said
    with pytest.raises(HostCallError, match="there is no profile gone any more"):
        await caller.call("lockgate.tools", {}, replace(told_of, catalog_profile="gone"))


async def test_a_store_that_cannot_be_read_is_an_error_to_try_again(tmp_path: Path) -> None:
    closed = SqlStore(SqliteDatabase(tmp_path / "store.sqlite"))
    results, stores = MemoryResults(store=closed), SessionStores(store=closed)
    own = OwnCalls(CatalogCalls(Finder(upstreams({}))), results, stores)
    within = replace(context(), tenant="ada", store="notes")
    for name, arguments in (("lockgate.store_get", {"key": "k"}), ("lockgate.result", {"handle": "res_0"})):
        with pytest.raises(HostCallError, match="cannot be read now") as failed:
            await own.call(name, arguments, within)
        assert (failed.value.code, failed.value.retryable) == ("unavailable", True)
    await closed.close()


async def test_search_with_pages(caller: ToolCaller) -> None:
    first = await asked(caller, "lockgate.search", query="note frob", limit=1)
    assert first["unmatched"] == ["frob"]
    assert first["tools"][0]["signature"].startswith("codemode.notes.")
    second = await asked(caller, "lockgate.search", query="note frob", cursor=first["cursor"], language="python")
    assert len(second["tools"]) == 1
    assert "title: str" in second["tools"][0]["signature"]


async def test_describe_one_or_several(caller: ToolCaller) -> None:
    one = await asked(caller, "lockgate.describe", names="notes.read_note")
    assert "read_note(args: {" in one
    both = await asked(caller, "lockgate.describe", names=["notes.read_note", "notes.add_note"], language="python")
    assert both.startswith("class codemode:")


async def test_levels_of_detail(caller: ToolCaller) -> None:
    names = ["notes.read_note", "notes.add_note"]
    found = await asked(caller, "lockgate.search", query="read note", detail="names")
    assert (found["tools"], found["total"]) == (names, 2)
    full = await asked(caller, "lockgate.search", query="read note", detail="full")
    assert full["tools"][0]["signature"] == "codemode.notes.read_note({title: string}): Promise<unknown>"
    assert "read_note(args: {" in full["declarations"]
    assert full["left_out"] == []
    nothing = await asked(caller, "lockgate.search", query="frob", detail="full")
    assert (nothing["tools"], nothing["unmatched"]) == ([], ["frob"])


@pytest.mark.parametrize(
    ("name", "arguments", "code", "said"),
    [
        ("tools", {"query": 1}, "invalid_argument", "codemode.tools: query: is no option; there are language"),
        ("search", {"query": 5}, "invalid_argument", "codemode.search: query: expected a string"),
        ("search", {"query": "x" * 1_001}, "invalid_argument", "codemode.search: query: has 1001 characters"),
        ("search", {"limit": 0}, "invalid_argument", "codemode.search: limit: expected a whole number, 1 to 100"),
        ("search", {"limit": True}, "invalid_argument", "codemode.search: limit: expected a whole number"),
        ("search", {"cursor": "x"}, "invalid_argument", "codemode.search: cursor: this is not a cursor"),
        ("search", {"language": "perl"}, "invalid_argument", "codemode.search: language: expected"),
        ("search", {"detail": "all"}, "invalid_argument", "codemode.search: detail: expected names or signatures"),
        ("describe", {}, "invalid_argument", "codemode.describe: names: expected one name or an array"),
        ("describe", {"names": []}, "invalid_argument", "codemode.describe: names: has 0 names; 1 to 10"),
        ("describe", {"names": ["a"] * 11}, "invalid_argument", "codemode.describe: names: has 11 names"),
        ("describe", {"names": "a", "budget": 1}, "invalid_argument", "codemode.describe: budget: expected"),
        ("describe", {"names": "notes.read_nota"}, "not_found",
         'codemode.describe: there is no tool or type "notes.read_nota"; the nearest are notes.read_note'),
        ("eval", {}, "not_found", "codemode.eval: is not there; there are describe, search, tools"),
    ],
)  # fmt: skip
async def test_a_wrong_question(caller: ToolCaller, name: str, arguments: dict[str, Any], code: str, said: str) -> None:
    with pytest.raises(HostCallError) as error:
        await caller.call(f"lockgate.{name}", arguments, context())
    assert error.value.code == code
    assert error.value.message.startswith(said)


async def test_an_answer_keeps_the_profiles_limit(caller: ToolCaller) -> None:
    with pytest.raises(HostCallError) as error:
        await caller.call("lockgate.tools", {}, context(most=50))
    assert error.value.code == "limit"
