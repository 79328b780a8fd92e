"""How far an upstream is with a call, from the upstream to whoever asked for the program."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from mcp.client.client import Client as McpClient
from mcp.client.streamable_http import streamable_http_client

from runtime.client import Client
from runtime.execution.execution import CallProgress, Execution, HostCallRecord
from runtime.execution.progress import LEAST_PAUSE_S, MOST_MESSAGE, MOST_REPORTS, ProgressReports
from runtime.service.cell import Cell, CellOptions
from tests.cell import ROOT, open_shared_state, running_cell, upstreams_settled
from tests.service.programs import request

SERVER = ROOT / "tests" / "portal" / "servers" / "offering.py"
PROFILE = {
    "name": "tests", "version": 1, "languages": ["javascript"], "environments": ["dev"], "tools": {"allow": ["*.*"]},
}  # fmt: skip
CODE = "return await codemode.memo.count({to: 3})"


@pytest.fixture(scope="module")
def memo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cell]:
    directory: Path = tmp_path_factory.mktemp("progress")
    directory.joinpath("profiles").mkdir()
    directory.joinpath("profiles", "tests.yaml").write_text(yaml.safe_dump(PROFILE))
    file = directory / "lockgate.yaml"
    upstream = {"kind": "mcp", "command": [sys.executable, str(SERVER), "stdio"], "cwd": str(ROOT)}
    file.write_text(yaml.safe_dump({"profiles": ["profiles"], "upstreams": {"memo": upstream}}))
    options = CellOptions(state=open_shared_state(directory / "state"), config_file=file, any_port=True)
    with running_cell(options) as cell:
        asyncio.run(upstreams_settled(cell.grpc_address, cell.token))
        yield cell


@asynccontextmanager
async def mcp_client(cell: Cell):
    headers = {"authorization": f"Bearer {cell.token}"}
    url = f"http://{cell.mcp_address}/mcp"
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        McpClient(streamable_http_client(url, http_client=http)) as client,
    ):
        yield client


async def test_a_stream_of_events_tells_it_between_the_begin_and_the_end_of_the_call(memo: Cell):
    told = []
    async with Client(memo.grpc_address, memo.token) as client:
        async for event in client.stream(request(CODE)):
            kind = event.WhichOneof("event")
            if kind.startswith("call_"):
                told.append(kind)
            if kind == "call_progress":
                far = event.call_progress
                assert (far.number, far.target, far.total) == (1, "memo.count", 3)
                assert far.message == f"step {far.progress:g}"
    assert told[0] == "call_started"
    assert told[-1] == "call_ended"
    assert set(told[1:-1]) == {"call_progress"}


async def test_an_mcp_client_that_asks_for_progress_hears_it(memo: Cell):
    told: list[tuple[float, str]] = []

    async def heard(progress: float, _: float | None, message: str | None) -> None:
        told.append((progress, message or ""))

    async with mcp_client(memo) as client:
        done = await client.call_tool("execute", {"code": CODE, "profile": "tests"}, progress_callback=heard)
    assert done.structured_content["result"] == "done"
    assert "call 1 memo.count: 1 of 3: step 1" in [message for _, message in told]
    assert [progress for progress, _ in told] == sorted({progress for progress, _ in told})


def reports_of(program: Any = None) -> tuple[Execution, HostCallRecord]:
    record = HostCallRecord(number=1, kind="tool", target="memo.count", started=1.0)
    return Execution(program=program, image_digest="sha256:0"), record


def test_reports_are_bounded_whatever_an_upstream_sends(monkeypatch: pytest.MonkeyPatch):
    now = 100.0
    monkeypatch.setattr("runtime.execution.progress.time.monotonic", lambda: now)
    execution, record = reports_of()
    reports = ProgressReports(execution)
    for _ in range(1_000):
        reports.report(record, 1, 2, "x")
    assert len(execution.happenings) == 1
    for _ in range(2 * MOST_REPORTS):
        now += LEAST_PAUSE_S
        reports.report(record, float("nan"), 1, "no number")
        reports.report(record, 1, float("inf"), "y\ud800" * MOST_MESSAGE)
    assert len(execution.happenings) == MOST_REPORTS
    last = execution.happenings[-1]
    assert isinstance(last, CallProgress)
    assert last.total == 0
    assert len(last.message.encode()) <= 2 * MOST_MESSAGE


def test_a_call_that_has_ended_reports_no_more():
    execution, record = reports_of()
    record.ended = 1.0
    ProgressReports(execution).report(record, 1, 1, "late")
    assert execution.happenings == []
