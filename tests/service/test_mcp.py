"""The pair over MCP, with the official SDK's client, over streamable HTTP and over `lockgate mcp`."""

import asyncio
import os
import re
import sys
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import StdioServerParameters, stdio_client
from mcp.client.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from tests.cell import ROOT, TestCell


@asynccontextmanager
async def over_http(cell: TestCell):
    headers = {"authorization": f"Bearer {cell.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        async with McpClient(streamable_http_client(cell.mcp_url, http_client=http)) as client:
            yield client


@asynccontextmanager
async def over_stdio(cell: TestCell):
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "runtime.cli", "mcp", "--server", cell.address, "--profile", "tests"],
        env={
            "LOCKGATE_HOME": str(cell.state.path),
            "LOCKGATE_CONFIG": str(cell.config_file),
            "PATH": os.environ["PATH"],
        },
        cwd=ROOT,
    )
    async with McpClient(stdio_client(parameters)) as client:
        yield client


BOTH = pytest.mark.parametrize("connect", [over_http, over_stdio])


def text(result) -> str:
    return "\n".join(block.text for block in result.content)


@BOTH
async def test_there_are_two_tools(cell: TestCell, connect):
    async with connect(cell) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == ["search", "execute"]


@BOTH
async def test_search_and_execute(cell: TestCell, connect):
    async with connect(cell) as client:
        found = await client.call_tool("search", {"query": "list accounts"})
        assert "codemode.ledger.listAccounts(" in text(found)
        code = "const page = await codemode.ledger.listAccounts({}); console.log('counted'); return page.total;"
        done = await client.call_tool("execute", {"code": code, "profile": "tests"})
    assert not done.is_error
    assert done.structured_content["result"] == 4
    assert "counted" in text(done)


@BOTH
async def test_a_search_tells_what_the_profile_says_of_each_tool(cell: TestCell, connect):
    code = """const all = await codemode.tools();
        const of = (name) => all.find((tool) => tool.name === name).approval;
        return [of("notes.delete_note"), of("notes.read_note")];"""
    async with connect(cell) as client:
        found = await client.call_tool("search", {"query": "notes.delete_note", "limit": 1})
        allowed = await client.call_tool("search", {"query": "notes.read_note", "limit": 1})
        told = await client.call_tool("search", {"code": code})
    assert text(found).splitlines()[1].endswith("[writes] [not allowed]")
    assert found.structured_content["tools"][0]["approval"] == "deny"
    assert text(allowed).splitlines()[1].endswith("[reads]")
    assert told.structured_content["result"] == ["deny", ""], text(told)


@BOTH
async def test_python_too(cell: TestCell, connect):
    async with connect(cell) as client:
        code = "(await codemode.notes.read_note(title='rates'))['title']"
        done = await client.call_tool("execute", {"code": code, "language": "python", "profile": "tests"})
    assert done.structured_content["result"] == "rates", text(done)


@BOTH
async def test_a_program_that_fails_is_an_error_with_its_line(cell: TestCell, connect):
    async with connect(cell) as client:
        done = await client.call_tool("execute", {"code": "const a = 1;\nthrow new Error('no')", "profile": "tests"})
    assert done.is_error
    assert "throw new Error('no')" in text(done)


@BOTH
async def test_an_unknown_profile_is_an_error_that_names_the_others(cell: TestCell, connect):
    async with connect(cell) as client:
        done = await client.call_tool("execute", {"code": "1", "profile": "nope"})
    assert done.is_error
    assert "standard" in text(done)


async def test_http_needs_the_token(cell: TestCell):
    async with httpx2.AsyncClient() as http:
        for headers in ({}, {"authorization": "Bearer wrong"}):
            answer = await http.post(cell.mcp_url, json={}, headers=headers)
            assert answer.status_code == 401


async def test_what_the_egress_proxy_counted_is_told_to_who_has_the_token(cell: TestCell):
    url = cell.mcp_url.removesuffix("/mcp") + "/metrics"
    async with httpx2.AsyncClient(headers={"authorization": f"Bearer {cell.token}"}, timeout=30) as http:
        async with asyncio.timeout(20):
            while "lockgate_egress_requests_total{" not in (told := (await http.get(url)).text):
                await asyncio.sleep(0.1)
        assert "lockgate_egress_healthy 1.0" in told
        assert 'lockgate_server_wall{network="proxy",upstream="notes",wall="privileges"}' in told
        nobody = await http.get(url, headers={"authorization": "Bearer lg_guessed"})
    assert nobody.status_code == 401
    assert "lockgate_egress" not in nobody.text


@BOTH
@pytest.mark.parametrize(
    ("language", "code"),
    [
        (
            "javascript",
            "(await codemode.tools()).filter(t => t.upstream === 'ledger' && /total/i.test(t.name)).map(t => t.name)",
        ),
        ("python", "[t['name'] for t in await codemode.tools() if t['upstream'] == 'ledger' and 'Total' in t['name']]"),
    ],
)
async def test_a_search_by_program(cell: TestCell, connect, language, code):
    async with connect(cell) as client:
        found = await client.call_tool("search", {"code": code, "language": language})
    assert not found.is_error, text(found)
    assert found.structured_content["result"] == ["ledger.getTotals"]


async def test_the_examples_in_the_description_run(cell: TestCell):
    """With a tool of this cell put in the place of the one that they call."""
    async with over_http(cell) as client:
        execute = (await client.list_tools()).tools[1]
        examples = [each for each in re.findall(r"`([^`]+)`", execute.description) if "return " in each]
        assert len(examples) == 4
        for example in examples:
            python = "await codemode.up.get(id=1)" in example or "asyncio" in example
            code = (
                example.replace("codemode.github.issuesGet", "codemode.ledger.getAccount")
                .replace("codemode.up.get", "codemode.ledger.getAccount")
                .replace("issue_number: 1", "account_id: 'acc_1'")
                .replace("({id})", "({account_id: id})")
                .replace("(id=1)", "(account_id='acc_1')")
                .replace("(id=n)", "(account_id=n)")
                .replace("title", "owner")
            )
            language = "python" if python else "javascript"
            arguments = {"code": code, "language": language, "inputs": ["acc_1"], "profile": "tests"}
            done = await client.call_tool("execute", arguments)
            assert not done.is_error, (code, text(done))
            result = done.structured_content["result"]
            assert "ada" in (result if isinstance(result, str) else result[0]["owner"]), code


LEVELS = {
    "javascript": """const [all, names, found, full] = await Promise.all([
        codemode.tools(), codemode.search("", {limit: 2, detail: "names"}),
        codemode.search("list accounts", {limit: 1}), codemode.search("list accounts", {limit: 1, detail: "full"})]);
        [all.some((tool) => tool.name === "ledger.listAccounts"), names.total === all.length, typeof names.tools[1],
         found.tools[0].signature.slice(0, 28), full.declarations.includes("interface AccountPage"),
         (await codemode.describe("ledger.listAccounts")).includes("interface AccountPage")]""",
    "python": """import asyncio
every, names, found, full = await asyncio.gather(
    codemode.tools(), codemode.search("", limit=2, detail="names"), codemode.search("list accounts", limit=1),
    codemode.search("list accounts", limit=1, detail="full"))
["ledger.listAccounts" in [t["name"] for t in every], names["total"] == len(every),
 "string" if type(names["tools"][1]) is str else None,
 found["tools"][0]["signature"][:28], "class AccountPage(TypedDict)" in full["declarations"],
 "class AccountPage(TypedDict)" in await codemode.describe("ledger.listAccounts")]""",
}


@BOTH
@pytest.mark.parametrize("language", LEVELS)
async def test_a_search_by_program_at_every_level_of_detail(cell: TestCell, connect, language):
    async with connect(cell) as client:
        found = await client.call_tool("search", {"code": LEVELS[language], "language": language})
    assert not found.is_error, text(found)
    assert found.structured_content["result"] == [True, True, "string", "codemode.ledger.listAccounts", True, True]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("await codemode.ledger.listAccounts({})", "no pattern of tools.allow matches ledger.listAccounts"),
        ("await fetch('https://rates.example/')", "egress denied"),
        ("'x'.repeat(100000)", "result_bytes"),
        # On a machine that is busy with others the time to run is over before the processor time.
        ("for (;;);", "cpu_ms|active_ms"),
    ],
)
async def test_a_search_by_program_makes_no_other_calls_and_ends(cell: TestCell, code, said):
    async with over_http(cell) as client:
        refused = await client.call_tool("search", {"code": code})
    assert refused.is_error
    assert any(each in text(refused) for each in said.split("|"))


@BOTH
async def test_the_detail_of_a_search(cell: TestCell, connect):
    async with connect(cell) as client:
        asked = {"query": "list accounts", "limit": 1}
        names = await client.call_tool("search", {**asked, "detail": "names"})
        full = await client.call_tool("search", {**asked, "detail": "full", "language": "python"})
    assert text(names).splitlines()[0] == "ledger.listAccounts [reads]"
    assert names.structured_content["tools"] == ["ledger.listAccounts"]
    assert "class codemode:" in text(full)


async def test_a_catalog_is_described_in_execute_if_it_is_small(cell: TestCell):
    async with over_http(cell) as client:
        execute = (await client.list_tools()).tools[1]
    declared = execute.description.partition("no search is needed:\n")[2]
    assert declared.startswith("declare const codemode: {\n  ledger: {")
    assert "listAccounts(" in declared
    refused = next(line for line in declared.splitlines() if line.startswith("[not allowed]: "))
    assert "notes.delete_note" in refused
    assert "notes.read_note" not in refused
