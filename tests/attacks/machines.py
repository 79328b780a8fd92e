"""Machines that have every wall, or lack some, and what is needed to try them: shared by the tests of escapes."""

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.isolate.compiled import find_image
from runtime.isolate.shipped import wasm_path
from tests.attacks.escapee import Escapee, Zygote, zygote

ROOT = os.geteuid() == 0
NOBODY = 65534
NO_FILTER = {"seccomp": errno.EINVAL}
NO_LANDLOCK = {"landlock_create_ruleset": errno.ENOSYS}
NO_NAMESPACES = {"unshare": errno.EPERM}


def users() -> list[Any]:
    ordinary = pytest.mark.skipif(not ROOT, reason="only root can become another user; as an ordinary user this is 0")
    return [pytest.param(0, id="as-started"), pytest.param(NOBODY, id="as-nobody", marks=ordinary)]


@pytest.fixture(scope="module", params=users())
def plain(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    with zygote(user=request.param) as started:
        yield started


@pytest.fixture(scope="module", params=users())
def unfiltered(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    """A machine without seccomp: what the other walls hold alone."""
    with zygote(user=request.param, refused=NO_FILTER) as started:
        yield started


@pytest.fixture(scope="module")
def gateway() -> Iterator["subprocess.Popen[bytes]"]:
    """Stands for the gateway: a process of the user who started everything, with something in its environment."""
    process = subprocess.Popen(["sleep", "600"], env={"SECRET": "something"})
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def standing(worker: Escapee, *walls: str) -> None:
    """Skip where the kernel lacks a wall, after looking that the report says so."""
    for wall in walls:
        if worker.walls[wall] != "up":
            assert worker.walls[wall].startswith("refused: ")
            pytest.skip(f"{wall} on this machine is {worker.walls[wall]}")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("images")
    directory.chmod(0o700)
    wasm = directory / "javascript.wasm"
    wasm.write_bytes(wasm_path("javascript").read_bytes())
    found = find_image("javascript", wasm, directory)
    subprocess.run([sys.executable, "-m", "runtime.isolate.images", str(wasm), str(found.path)], check=True)
    return found.path
