"""Large results, files and the store over MCP, in both languages."""

import base64
import hashlib
import json
from contextlib import asynccontextmanager

import httpx2
import mcp_types
import pytest
from mcp.client.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from tests.cell import TestCell
from tests.service.test_mcp import over_http, over_stdio, text

JS, PY = "javascript", "python"
LANGUAGES = pytest.mark.parametrize("language", [JS, PY])
CONNECTIONS = pytest.mark.parametrize("connect", [over_http, over_stdio])


@LANGUAGES
@CONNECTIONS
async def test_a_large_result_is_cut_and_the_next_program_has_it(cell: TestCell, language, connect):
    rows = {JS: "Array.from({length: 9_000}, (_, id) => ({id}))", PY: "[{'id': n} for n in range(9_000)]"}[language]
    after = {JS: "(await results['{}']).length", PY: "len(await results['{}'])"}[language]
    async with connect(cell) as client:
        options = {"language": language, "profile": "standard"}
        done = await client.call_tool("execute", {"code": rows, **options})
        shown = done.structured_content["result"]
        handle = done.structured_content["left_out"]["handle"]
        again = await client.call_tool("execute", {"code": after.replace("{}", handle), **options})
    assert not done.is_error
    assert len(json.dumps(shown)) < 30_000
    left = 9_000 - (len(shown) - 1)
    assert shown[-1] == f"... {left} more items"
    assert f"the result shows {len(shown) - 1} of 9000 items" in text(done)
    assert f'await results["{handle}"]' in text(done)
    assert again.structured_content["result"] == 9_000


@LANGUAGES
async def test_files_are_content(cell: TestCell, language):
    code = {
        JS: """const bytes = new Uint8Array([137, 80]); await emit('a.png', bytes, 'image/png');
            await emit('s', bytes, 'audio/wav');
            await emit('n.csv', 'a,b', 'text/csv'); await emit('b', bytes); 'made'""",
        PY: "data = bytes([137, 80])\nawait emit('a.png', data, 'image/png')\nawait emit('s', data, 'audio/wav')\n"
        "await emit('n.csv', 'a,b', 'text/csv')\nawait emit('b', data)\n'made'",
    }[language]
    async with over_http(cell) as client:
        done = await client.call_tool("execute", {"code": code, "language": language, "profile": "tests"})
    said, image, sound, table, blob = done.content
    data, digest = base64.b64encode(bytes([137, 80])).decode(), hashlib.sha256(bytes([137, 80])).hexdigest()
    assert isinstance(image, mcp_types.ImageContent)
    assert (image.data, image.mime_type) == (data, "image/png")
    assert isinstance(sound, mcp_types.AudioContent)
    assert sound.mime_type == "audio/wav"
    assert (table.resource.text, table.resource.mime_type) == ("a,b", "text/csv")
    assert table.resource.uri.endswith("/files/n.csv")
    assert (blob.resource.blob, blob.resource.mime_type) == (data, "application/octet-stream")
    assert f"a.png (image/png, 2 bytes, SHA-256 {digest})" in said.text
    assert done.structured_content["files"][0] == {"name": "a.png", "type": "image/png", "sha256": digest}


@asynccontextmanager
async def in_session(cell: TestCell):
    """Over HTTP, in a version of the protocol that has sessions."""
    headers = {"authorization": f"Bearer {cell.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        async with McpClient(streamable_http_client(cell.mcp_url, http_client=http), mode="legacy") as client:
            yield client


@pytest.mark.parametrize("connect", [in_session, over_stdio])
async def test_programs_of_one_mcp_session_share_a_store(cell: TestCell, connect):
    async with connect(cell) as client:
        await client.call_tool("execute", {"code": "await store.set('seen', [1])", "profile": "tests"})
        code = "await store.get('seen')"
        again = await client.call_tool("execute", {"code": code, "language": "python", "profile": "tests"})
    assert again.structured_content["result"] == [1]
    async with connect(cell) as other:
        told = await other.call_tool("execute", {"code": "await store.keys()", "profile": "tests"})
    assert told.structured_content["result"] == []


async def test_without_an_mcp_session_there_is_no_store(cell: TestCell):
    async with over_http(cell) as client:
        done = await client.call_tool("execute", {"code": "await store.keys()", "profile": "tests"})
    assert done.is_error
    assert "belongs to no session" in text(done)
