"""A cell whose executions outlive its processes, and an upstream that remembers what was asked of it."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from runtime.service.cell import Cell, CellOptions
from sandboxes.state import StateDirectory
from tests.cell import open_shared_state, running_cell
from tests.durable.marks import Marks, marks

PROFILE: dict[str, Any] = {
    "name": "durable",
    "version": 1,
    "languages": ["javascript", "python"],
    "environments": ["dev"],
    "limits": {"wall_ms": 60_000, "active_ms": 30_000, "cpu_ms": 10_000, "host_calls": 2_000},
    "tools": {"allow": ["marks.*"]},
}


@pytest.fixture
def upstream() -> Iterator[Marks]:
    with marks() as kept:
        yield kept


def write_config(directory: Path, kept: Marks, /, **more: Any) -> Path:
    """lockgate.yaml with the upstream, and the profile above with `more` in it."""
    directory.joinpath("profiles").mkdir(exist_ok=True)
    directory.joinpath("profiles", "durable.yaml").write_text(yaml.safe_dump(PROFILE | more.pop("profile", {})))
    tools = {
        "kind": "openapi",
        "document": f"{kept.url}/openapi.json",
        "base_url": kept.url,
        "networks": ["127.0.0.1/32"],
        "retries": 0,
        **more.pop("upstream", {}),
    }
    path = directory / "lockgate.yaml"
    path.write_text(yaml.safe_dump({"profiles": ["profiles"], "upstreams": {"marks": tools}, **more}))
    return path


@contextlib.contextmanager
def durable_cell(state: StateDirectory, config: Path) -> Iterator[Cell]:
    """A cell over this state; started again over the same, it goes on where the last one was."""
    options = CellOptions(state=state, config_file=config, any_port=True, workers=2)
    with running_cell(options) as cell:
        yield cell


@pytest.fixture
def state(tmp_path: Path) -> StateDirectory:
    return open_shared_state(tmp_path / "state")


@pytest.fixture
def config(tmp_path: Path, upstream: Marks) -> Path:
    return write_config(tmp_path, upstream)


def family_of(cell: Cell, name: str) -> list[psutil.Process]:
    """A child of the supervisor and all that came of it; nothing while it is being started again."""
    pid = cell.pids[name]
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    return []


def kill_workers(cell: Cell) -> None:
    """All of them, at once: children of the zygote, which is the gateway's."""
    gateway = cell.pids["gateway"]
    zygotes = [process.pid for process in family_of(cell, "gateway") if _parent(process) == gateway]
    _kill([process for process in family_of(cell, "gateway") if _parent(process) in zygotes])


def kill_zygote(cell: Cell) -> None:
    """The process that workers are forked from; with it go its workers."""
    _kill([process for process in family_of(cell, "gateway") if _parent(process) == cell.pids["gateway"]])


def kill_gateway(cell: Cell) -> None:
    """And with it all of its workers; the supervisor starts another."""
    _kill(family_of(cell, "gateway")[:1])


def kill_egress(cell: Cell) -> None:
    """The egress proxy; the supervisor starts another."""
    _kill(family_of(cell, "egress")[:1])


def kill_everything(cell: Cell) -> None:
    """As when the machine's power is cut, but for the supervisor, which lives in the test's own process."""
    _kill(family_of(cell, "gateway") + family_of(cell, "egress"))


def _parent(process: psutil.Process) -> int | None:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.ppid()
    return None


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
