"""A real cell for tests: in a thread of its own, with compiled images shared by all test runs."""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from runtime.client import Client
from runtime.service.cell import Cell, CellOptions
from sandboxes.state import StateDirectory, open_state
from tests.egress.lab import events_in

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / ".lockgate" / "images"
LEDGER_TOKEN = "ledger-token-for-tests"

PROFILES: list[dict[str, Any]] = [
    {
        "name": "tests",
        "version": 1,
        "languages": ["javascript", "python"],
        "environments": ["dev", "stage"],
        "limits": {
            "cpu_ms": 400,
            "active_ms": 8_000,
            "wall_ms": 10_000,
            "memory_bytes": "96MiB",
            "log_lines": 50,
            "log_bytes": "16KiB",
            "log_line_bytes": 512,
            "result_bytes": 4_096,
            "host_calls": 8,
            "parallel_host_calls": 4,
            "response_bytes": "64KiB",
        },
        "ceilings": {"log_lines": 60},
        "tools": {
            "allow": ["ledger.*", "notes.*", "late.*", "caller.*", "mine.*"],
            "deny": ["notes.delete*", "caller.forbidden"],
        },
        "egress": {"rules": []},
    },
    {
        "name": "python-only",
        "version": 3,
        "description": "For what a profile refuses.",
        "languages": ["python"],
        "environments": ["prod"],
    },
]


def open_shared_state(path: Path) -> StateDirectory:
    """A state directory whose compiled images are those of every other test."""
    state = open_state(path)
    IMAGES.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not state.images.exists():
        state.images.symlink_to(IMAGES)
    return state


@contextlib.contextmanager
def running_module(*command: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """A demo service as a process of its own; gives its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, **(env or {})},
    )
    try:
        yield json.loads(process.stdout.readline())["url"]
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()


@dataclass(frozen=True, kw_only=True)
class TestCell:
    """Where a cell under test is, and what stands behind it."""

    __test__ = False

    cell: Cell
    state: StateDirectory
    site: str
    config_file: Path

    @property
    def address(self) -> str:
        return self.cell.grpc_address

    @property
    def token(self) -> str:
        return self.cell.token

    @property
    def mcp_url(self) -> str:
        return f"http://{self.cell.mcp_address}/mcp"

    async def egress_event(self, execution: str) -> dict[str, Any]:
        """The execution's newest; the proxy writes them down after it has answered."""
        file = self.state.event_file
        async with asyncio.timeout(20):
            while True:
                found = [event for event in events_in(file) if event["execution"] == execution] if file.exists() else []
                if found:
                    return found[-1]
                await asyncio.sleep(0.01)


@contextlib.contextmanager
def running_cell(options: CellOptions) -> Iterator[Cell]:
    """A cell, supervised from a thread of its own so that tests keep their event loops."""
    started: asyncio.Future[Cell] = asyncio.Future(loop=(loop := asyncio.new_event_loop()))
    stop = asyncio.Event()
    ready = threading.Event()

    async def supervise() -> None:
        try:
            async with Cell(options) as cell:
                started.set_result(cell)
                ready.set()
                await stop.wait()
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
                ready.set()
            raise

    def run() -> None:
        with contextlib.suppress(Exception):
            loop.run_until_complete(supervise())

    thread = threading.Thread(target=run, name="cell")
    thread.start()
    ready.wait()
    try:
        yield started.result()
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


async def upstreams_settled(address: str, token: str) -> None:
    """A cell serves before its upstreams are there; this returns when none is still starting."""
    async with asyncio.timeout(60), Client(address, token) as client:
        while any(state.state == "starting" for state in (await client.search("", limit=1)).upstreams):
            await asyncio.sleep(0.02)


def write_config(directory: Path, ledger: str, site: str) -> Path:
    """lockgate.yaml with both demo upstreams, and the profiles above."""
    port, site_port = urlsplit(ledger).port, urlsplit(site).port
    config = {
        "profiles": ["profiles"],
        "upstreams": {
            "ledger": {
                "kind": "openapi",
                "document": f"{ledger}/openapi.json",
                "base_url": f"http://ledger.test.internal:{port}",
                "auth": {"secret": "ledger-token", "as": "bearer"},
                "networks": ["127.0.0.1/32"],
            },
            "notes": {"kind": "mcp", "command": [sys.executable, "-m", "tests.demo.notes"], "cwd": str(ROOT)},
            "late": {"kind": "openapi", "document": "late.json", "base_url": ledger, "networks": ["127.0.0.1/32"]},
            "broken": {"kind": "openapi", "document": "broken.json"},
        },
        "secrets": {"ledger-token": {"env": "LEDGER_TOKEN"}},
        "hosts": {"ledger.test.internal": "127.0.0.1", "site.test.internal": "127.0.0.1"},
    }
    rule = {
        "name": "site",
        "hosts": ["site.test.internal"],
        "ports": [site_port],
        "schemes": ["http"],
        "methods": ["GET", "POST"],
        "paths": ["/rates.json", "/moved", "/elsewhere", "/echo", "/status/*", "/large/*", "/silent"],
        "networks": ["127.0.0.1/32"],
    }
    directory.joinpath("profiles").mkdir()
    for given in PROFILES:
        profile = {**given, "egress": {"rules": [rule]}} if given["name"] == "tests" else given
        path = directory / "profiles" / f"{profile['name']}.yaml"
        path.write_text(yaml.safe_dump(profile, sort_keys=False))
    directory.joinpath("broken.json").write_text('{"this": "is no OpenAPI document"}')
    path = directory / "lockgate.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    return path
