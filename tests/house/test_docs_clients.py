"""docs/grpc.md, docs/mcp.md, docs/clients.md: the clients on these pages run as they stand and print what they say."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from mcp import StdioServerParameters, stdio_client
from mcp.client.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from runtime.command.exits import Exit
from runtime.portal import pair
from tests.cell import ROOT, TestCell
from tests.fixtures.fetch_documents import document, fetch, node

GRPC = (ROOT / "docs" / "grpc.md").read_text(encoding="utf-8")
MCP = (ROOT / "docs" / "mcp.md").read_text(encoding="utf-8")
CLIENTS = (ROOT / "docs" / "clients.md").read_text(encoding="utf-8")
BETWEEN = "---- next block"


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"^```{kind}\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def script(page: str) -> str:
    """The page's Python blocks in order, told apart in the output."""
    return f"\nprint({BETWEEN!r})\n".join(blocks(page, "python"))


def run_script(text: str, directory: Path, cell: TestCell) -> list[str]:
    """What each block prints."""
    path = directory / "client.py"
    path.write_text(text, encoding="utf-8")
    environment = {**os.environ, "LOCKGATE_HOME": str(cell.state.path), "PYTHONPATH": str(directory)}
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, env=environment, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [part.lstrip("\n") for part in done.stdout.split(f"{BETWEEN}\n")]


@pytest.fixture
def stubs(tmp_path: Path) -> Path:
    """Made by the page's own command."""
    command = blocks(GRPC, "sh")[0].replace("\\\n", " ").split()
    assert command[:2] == ["python", "-m"]
    made = [argument.replace("out=.", f"out={tmp_path}") for argument in command[1:]]
    subprocess.run([sys.executable, *made], cwd=ROOT, check=True)
    return tmp_path


def test_the_grpc_page_runs(stubs: Path, cell: TestCell):
    assert "127.0.0.1:7700" in script(GRPC)
    printed = run_script(script(GRPC).replace("127.0.0.1:7700", cell.address), stubs, cell)
    assert printed == blocks(GRPC, "text")


def test_the_python_client_of_the_page_runs(tmp_path: Path, cell: TestCell):
    text = script(CLIENTS).replace("127.0.0.1:7700", cell.address)
    (tmp_path / "runtime").symlink_to(ROOT / "runtime")
    assert run_script(text, tmp_path, cell) == blocks(CLIENTS, "text")[:3]


@pytest.fixture
def typescript(tmp_path: Path, cell: TestCell) -> Path:
    """The page's program, with its types made by the page's own command."""
    (program,) = blocks(CLIENTS, "typescript")
    (tmp_path / "client.ts").write_text(program.replace("127.0.0.1:7700", cell.address), encoding="utf-8")
    (tmp_path / "proto").symlink_to(ROOT / "proto")
    (tmp_path / "node_modules").symlink_to(fetch("npm-grpc") / "node_modules")
    npx, name, *arguments = blocks(CLIENTS, "sh")[0].replace("\\\n", " ").split()
    assert npx == "npx"
    made = tmp_path / "node_modules" / ".bin" / name
    subprocess.run([node(), str(made), *arguments], cwd=tmp_path, check=True, timeout=60)
    return tmp_path


def test_the_typescript_of_the_page_fits_its_generated_types(typescript: Path):
    options = ["--noEmit", "--strict", "--module", "commonjs", "--target", "es2022", "--esModuleInterop"]
    command = [node(), str(document("tsc")), *options, "--types", "node", "--skipLibCheck", "client.ts"]
    done = subprocess.run(command, cwd=typescript, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout == ""
    wrong = (typescript / "client.ts").read_text().replace('profile: "standard"', "profile: 5")
    (typescript / "client.ts").write_text(wrong)
    done = subprocess.run(command, cwd=typescript, capture_output=True, text=True, check=False, timeout=120)
    assert "Type 'number' is not assignable to type 'string'" in done.stdout


def test_the_typescript_client_of_the_page_runs(typescript: Path, cell: TestCell):
    compiler = document("tsc").with_name("typescript.js")
    erase = (
        f"const ts = require({str(compiler)!r}), fs = require('fs');"
        "const options = {module: 'commonjs', target: 'es2022', esModuleInterop: true};"
        "fs.writeFileSync('client.js', ts.transpileModule(fs.readFileSync('client.ts', 'utf8'),"
        " {compilerOptions: options}).outputText)"
    )
    environment = {**os.environ, "LOCKGATE_HOME": str(cell.state.path)}
    subprocess.run([node(), "-e", erase], cwd=typescript, check=True, timeout=60)
    done = subprocess.run(
        [node(), "client.js"], cwd=typescript, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == blocks(CLIENTS, "text")[3]


def test_the_reasons_of_the_page_are_those_of_the_code():
    told = set(re.findall(r"^\| `([A-Z_]+)` \|", GRPC, re.MULTILINE))
    used = set()
    for path in (ROOT / "runtime" / "service").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        used |= set(re.findall(r"ApiError\(\s*grpc\.StatusCode\.\w+,\s*\"([A-Z_]+)\"", text))
    assert told == used


def test_the_exit_statuses_of_the_page_are_those_of_the_code():
    told = re.findall(r"^\| (\d+) \|", GRPC, re.MULTILINE)
    assert {int(status) for status in told} == set(Exit)


def test_the_http_client_of_the_mcp_page_runs(tmp_path: Path, cell: TestCell):
    url = "http://127.0.0.1:7701/mcp"
    assert url in script(MCP)
    printed = run_script(script(MCP).replace(url, cell.mcp_url), tmp_path, cell)
    assert printed == blocks(MCP, "text")


async def test_the_stdio_configuration_of_the_mcp_page_works(cell: TestCell):
    server = json.loads(blocks(MCP, "json")[0])["mcpServers"]["lockgate"]
    assert server["command"] == "lockgate"
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "runtime.cli", *server["args"], "--server", cell.address],
        env={"LOCKGATE_HOME": str(cell.state.path), "PATH": os.environ["PATH"]},
        cwd=ROOT,
    )
    async with McpClient(stdio_client(parameters)) as client:
        done = await client.call_tool("execute", {"code": "return inputs.a", "inputs": {"a": [1]}})
    assert done.structured_content["result"] == [1]


@pytest.mark.parametrize("tool", pair.tools(), ids=lambda tool: tool.name)
def test_the_arguments_of_the_mcp_page_are_those_of_the_tools(tool):
    section = MCP.split(f"\n## {tool.name}\n")[1].split("\n## ")[0].split("| structured content")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(tool.input_schema["properties"])


async def test_the_programs_of_the_page_search_the_catalog(cell: TestCell):
    programs = blocks(MCP, "js")
    assert programs
    headers = {"authorization": f"Bearer {cell.token}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        async with McpClient(streamable_http_client(cell.mcp_url, http_client=http)) as client:
            for program in programs:
                found = await client.call_tool("search", {"code": program})
                assert not found.is_error, found.content
                assert any(line.startswith("ledger: ") for line in found.structured_content["result"])
