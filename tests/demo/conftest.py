"""The demo services as processes of their own, as the demo starts them."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpcore2
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "demo-token"

type Call = Callable[..., tuple[int, Any]]


@contextmanager
def running(module: str, *arguments: str, env: dict[str, str] | None = None) -> Iterator[str]:
    """The module as a process; the value is the URL of its ready line."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | (env or {}), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            assert ready["ready"] is True
            yield ready["url"]
        finally:
            process.terminate()


def request(method: str, url: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and parsed body."""
    content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {name.replace("_", "-"): value.encode("latin-1") for name, value in headers.items()}
    with httpcore2.ConnectionPool() as pool:
        response = pool.request(method, url, headers=given, content=content)
        return response.status, json.loads(response.content)


@pytest.fixture(scope="module")
def ledger_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    database = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with running("tests.demo.ledger", "--database", str(database), env={"LEDGER_TOKEN": TOKEN}) as url:
        yield url


@pytest.fixture
def call(ledger_url: str) -> Call:
    """A request to the ledger with its token."""
    return lambda method, path, body=None, **headers: request(
        method, ledger_url + path, body, **{"authorization": f"Bearer {TOKEN}", **headers}
    )


@pytest.fixture(scope="module")
def site_url() -> Iterator[str]:
    with running("tests.demo.site") as url:
        yield url
