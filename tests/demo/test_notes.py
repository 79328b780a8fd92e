"""The notes server, spoken to with the official SDK's client over standard input and output."""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from mcp import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.types import TextContent

ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def notes(*arguments: str) -> AsyncIterator[Client]:
    command = StdioServerParameters(command=sys.executable, args=["-m", "tests.demo.notes", *arguments], cwd=ROOT)
    async with Client(stdio_client(command)) as client:
        yield client


async def test_the_tools_have_schemas_and_annotations() -> None:
    async with notes() as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"search_notes", "read_note", "write_note", "delete_note", "export_notes"}
    assert all(tool.output_schema and tool.annotations and tool.description for tool in tools.values())
    read_only = {name for name, tool in tools.items() if tool.annotations and tool.annotations.read_only_hint}
    assert read_only == {"search_notes", "read_note", "export_notes"}


async def test_notes_are_found_read_written_and_deleted() -> None:
    async with notes() as client:
        found = await client.call_tool("search_notes", {"words": "rate EUR"})
        written = await client.call_tool("write_note", {"title": "todo", "text": "call Ada"})
        read = await client.call_tool("read_note", {"title": "todo"})
        deleted = await client.call_tool("delete_note", {"title": "todo"})
        gone = await client.call_tool("read_note", {"title": "todo"})
    line = "The EUR to USD rate of the month is 1.10."
    assert found.structured_content == {"result": [{"title": "rates", "line": line}]}
    note = {"title": "todo", "text": "call Ada", "words": 2}
    assert written.structured_content == read.structured_content == deleted.structured_content == note
    assert gone.is_error


async def test_failures_are_errors_with_their_reason() -> None:
    async with notes() as client:
        failed = await client.call_tool("export_notes", {"since": "2026-01-01"})
        wrong = await client.call_tool("write_note", {"title": "../up", "text": ""})
    for result, reason in [(failed, "takes no notes since 2026-01-01"), (wrong, "a title has a-z")]:
        (content,) = result.content
        assert result.is_error
        assert isinstance(content, TextContent)
        assert reason in content.text


async def test_a_directory_keeps_notes_between_runs(tmp_path: Path) -> None:
    async with notes("--directory", str(tmp_path)) as client:
        await client.call_tool("write_note", {"title": "kept", "text": "still here"})
    async with notes("--directory", str(tmp_path)) as client:
        read = await client.call_tool("read_note", {"title": "kept"})
    assert read.structured_content == {"title": "kept", "text": "still here", "words": 2}
