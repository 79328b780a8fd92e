"""`lockgate doctor`: what this machine has and lacks."""

import argparse
import os
import platform
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

from runtime.command.connection import find_place
from runtime.command.exits import Exit
from runtime.isolate.shipped import NAMES, TYPE_ERASER, wasm_path
from runtime.isolate.versions import found_versions, judge
from runtime.worker.wall_probe import probe_walls
from sandboxes.config import load_config
from sandboxes.problem import DocumentError
from sandboxes.profile_file import load_profiles
from sandboxes.state import StateError
from sandboxes.walls import WALLS, missing_walls

_PYTHON = (3, 13)
_PACKAGES = ("wasmtime", "grpcio", "protobuf", "pydantic", "mitmproxy", "psutil", "mcp")


class Finding(NamedTuple):
    """One line: `needed` tells a fault from a remark."""

    good: bool
    needed: bool
    text: str


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("doctor", help="name what is missing on this machine")
    parser.add_argument("--config", help="lockgate.yaml to check")
    parser.set_defaults(main=_doctor)


async def _doctor(arguments: argparse.Namespace) -> int:
    findings = [finding for check in _checks(arguments.config) for finding in check()]
    for finding in findings:
        mark = "ok     " if finding.good else "MISSING" if finding.needed else "note   "
        print(f"{mark}  {finding.text}")
    missing = sum(1 for finding in findings if finding.needed and not finding.good)
    print(f"lockgate: {missing} missing" if missing else "lockgate: ready", file=sys.stderr)
    return Exit.INFRASTRUCTURE if missing else Exit.SUCCESS


def _checks(config: str | None) -> list[Callable[[], Iterator[Finding]]]:
    machine = [_interpreter, _packages, _images]
    return [*machine, lambda: _state(config), lambda: _configuration(config), lambda: _engines(config), _walls]


def _interpreter() -> Iterator[Finding]:
    found = sys.version_info[:2]
    yield Finding(found >= _PYTHON, True, f"Python {platform.python_version()} (3.13 or newer is needed)")  # noqa: FBT003
    linux = sys.platform == "linux" and platform.machine() in {"x86_64", "aarch64"}
    yield Finding(linux, True, f"{platform.system()} {platform.release()} {platform.machine()} (Linux is needed)")  # noqa: FBT003


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(True, True, f"{name} {version(name)}")  # noqa: FBT003
        except PackageNotFoundError:
            yield Finding(False, True, f"{name} is not installed; run: pip install lockgate")  # noqa: FBT003


def _images() -> Iterator[Finding]:
    for name in (*NAMES, TYPE_ERASER):
        try:
            path = wasm_path(name)
            yield Finding(True, True, f"guest image {name}, {path.stat().st_size / 1e6:.1f} MB")  # noqa: FBT003
        except FileNotFoundError as error:
            yield Finding(False, True, str(error))  # noqa: FBT003


def _state(config: str | None) -> Iterator[Finding]:
    try:
        place = find_place(config=config, server=None)
    except StateError as error:
        yield Finding(False, True, str(error))  # noqa: FBT003
        return
    yield Finding(True, True, f"state directory {place.state.path}")  # noqa: FBT003


def _configuration(config: str | None) -> Iterator[Finding]:
    try:
        place = find_place(config=config, server=None)
        if place.config_file is None:
            yield Finding(False, False, "no lockgate.yaml here: no upstreams, default addresses")  # noqa: FBT003
            return
        loaded = load_config(place.config_file)
        load_profiles([Path(directory) for directory in loaded.profiles])
    except (DocumentError, StateError) as error:
        yield Finding(False, True, str(error))  # noqa: FBT003
        return
    yield Finding(True, True, f"{place.config_file}: {len(loaded.upstreams)} upstreams")  # noqa: FBT003
    for name, source in loaded.secrets.items():
        if source.env is not None:
            yield Finding(source.env in os.environ, False, f"secret {name} from the variable {source.env}")  # noqa: FBT003
        elif source.file is not None:
            readable = os.access(source.file, os.R_OK)
            yield Finding(readable, False, f"secret {name} from the file {source.file}")  # noqa: FBT003


def _engines(config: str | None) -> Iterator[Finding]:
    try:
        accepted = find_place(config=config, server=None).config.accept_vulnerable_versions
    except (DocumentError, StateError):
        accepted = ()  # told by the check of the configuration
    for state in judge(found_versions(), accepted):
        yield Finding(state.decision.allowed, True, f"engine: {state.decision.reason}")  # noqa: FBT003


def _walls() -> Iterator[Finding]:
    """Tried, not guessed: by a process that does what a worker does."""
    try:
        report = probe_walls()
    except OSError as error:
        yield Finding(False, False, str(error.strerror))  # noqa: FBT003
        return
    missing = missing_walls(report)
    for wall in WALLS:
        yield Finding(wall not in missing, False, f"wall {wall}: {missing.get(wall, 'stands')}")  # noqa: FBT003
