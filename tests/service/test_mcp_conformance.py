"""The MCP project's own conformance suite, against a live cell and by Lockgate's client of MCP servers."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.cell import ROOT, TestCell
from tests.fixtures.fetch_documents import document, node
from tests.portal.parts import served
from tests.service.conformance_relay import relay_to

SERVER = (
    "server-initialize",
    "ping",
    "logging-set-level",
    "tools-list",
    "tools-call-simple-text",
    "tools-call-image",
    "tools-call-audio",
    "tools-call-embedded-resource",
    "tools-call-mixed-content",
    "tools-call-error",
    "tools-call-with-logging",
    "tools-call-with-progress",
    "server-sse-multiple-streams",
    "resources-list",
    "resources-read-text",
    "dns-rebinding-protection",
)
CLIENT = ("initialize", "tools_call", "sse-retry")
_LIST = re.compile(r"^  - (\S+)$", re.MULTILINE)


async def conformance(*arguments: str) -> tuple[int, str]:
    """Exit status and output of the suite."""
    process = await asyncio.create_subprocess_exec(
        node(),
        str(document("conformance")),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "NO_COLOR": "1"},
        cwd=ROOT,
    )
    try:
        async with asyncio.timeout(60):
            output, _ = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, output.decode()


@pytest.fixture
async def relay(cell: TestCell) -> AsyncIterator[str]:
    async with served(relay_to(cell.mcp_url, cell.token)) as port:
        yield f"http://127.0.0.1:{port}/mcp"


@pytest.mark.parametrize("scenario", SERVER)
async def test_the_server(relay: str, scenario: str) -> None:
    status, said = await conformance("server", "--url", relay, "--scenario", scenario)
    assert status == 0, said
    passed = re.search(r"Passed: (\d+)/(\d+), 0 failed, 0 warnings", said)
    assert passed is not None, said
    assert passed[1] == passed[2] != "0"


@pytest.mark.parametrize("scenario", CLIENT)
async def test_the_client_of_upstreams(scenario: str, tmp_path: Path) -> None:
    command = f"{sys.executable} -m tests.service.conformance_client"
    status, said = await conformance("client", "--command", command, "--scenario", scenario, "-o", str(tmp_path))
    assert status == 0, said
    assert re.search(r"Passed: (\d+)/\1, 0 failed", said), said


async def test_what_is_not_run_is_documented_with_its_reason() -> None:
    _, said = await conformance("list")
    server, _, client = said.partition("Client scenarios")
    page = (ROOT / "docs" / "mcp.md").read_text()
    table = page.partition("## Conformance")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    excepted = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert excepted == set(_LIST.findall(server)) - set(SERVER) | set(_LIST.findall(client)) - set(CLIENT)
