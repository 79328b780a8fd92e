"""The endpoint for programs that may only read: what is refused there is refused by the gateway."""

from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp.client.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from tests.cell import TestCell


@asynccontextmanager
async def read_only(cell: TestCell):
    headers = {"authorization": f"Bearer {cell.token}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        McpClient(streamable_http_client(f"{cell.mcp_url}/read-only", http_client=http)) as client,
    ):
        yield client


def text(result) -> str:
    return "\n".join(block.text for block in result.content)


async def test_it_says_so_and_finds_reads_alone(cell: TestCell):
    async with read_only(cell) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        found = await client.call_tool("search", {"query": "", "limit": 50})
    assert tools["execute"].annotations.read_only_hint
    assert tools["execute"].annotations.destructive_hint is False
    assert "listAccounts(" in tools["execute"].description
    assert "createTransfer" not in tools["execute"].description
    names = {hit["name"] for hit in found.structured_content["tools"]}
    assert "ledger.listAccounts" in names
    assert all(hit["read_only"] for hit in found.structured_content["tools"])


@pytest.mark.parametrize(
    "code",
    [
        "await codemode.ledger.createTransfer({from: 'a', to: 'b', amount: 1})",
        "await codemode.notes.write_note({title: 'a', text: 'b'})",
        "await codemode.ledger['createTransfer.response']({})",
        "await codemode.ledger.no_such_tool({})",
        "await fetch('https://rates.example/rates.json')",
        "await fetch('https://rates.example/rates.json', {method: 'POST'})",
    ],
)
async def test_what_may_write_is_refused(cell: TestCell, code: str):
    caught = f"try {{ {code} }} catch (error) {{ return [error.code, error.details?.rule, error.message] }}"
    async with read_only(cell) as client:
        done = await client.call_tool("execute", {"code": caught, "profile": "tests"})
    told, rule, said = done.structured_content["result"]
    assert (told, rule) == ("denied", "read_only"), said
    assert "may only call tools that read" in said


async def test_a_program_there_finds_reads_alone(cell: TestCell):
    code = """
      const listed = await codemode.tools();
      const found = await codemode.search("transfer write note", {limit: 50});
      let described;
      try { described = await codemode.describe("ledger.createTransfer"); } catch (error) { described = error.code; }
      return [listed.concat(found.tools).every((tool) => tool.read_only), listed.length > 0, described,
              await codemode.describe("ledger.listAccounts")];
    """
    async with read_only(cell) as client:
        asked = await client.call_tool("search", {"code": code})
        ran = await client.call_tool("execute", {"code": code, "profile": "tests"})
        shown = await client.call_tool("search", {"describe": ["ledger.createTransfer"]})
    for done in (asked, ran):
        only_reads, any_there, described, declared = done.structured_content["result"]
        assert (only_reads, any_there, described) == (True, True, "not_found")
        assert "listAccounts(" in declared
    assert "createTransfer(" not in text(shown)
    assert shown.structured_content["unknown"]


async def test_reads_go_through(cell: TestCell):
    code = "return [(await codemode.ledger.listAccounts({})).total, (await codemode.tools()).length > 0]"
    async with read_only(cell) as client:
        done = await client.call_tool("execute", {"code": code, "profile": "tests"})
    assert done.structured_content["result"] == [4, True], text(done)
