"""`lockgate doctor`: what this machine has and lacks."""

import argparse
import asyncio
import importlib.util
import json
import os
import platform
import sys
from collections.abc import Callable, Iterator
from datetime import UTC
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from runtime.client import Client
from runtime.command.connection import find_place, running_address
from runtime.command.exits import Exit
from runtime.enclosure.enclosure import probe
from runtime.enclosure.walls import UP
from runtime.isolate.shipped import NAMES, TYPE_ERASER, wasm_path
from runtime.isolate.versions import found_versions, judge
from runtime.rpc import runtime_pb2, upstream_pb2
from runtime.service.needed_images import image_problems
from runtime.worker.wall_probe import probe_walls
from sandboxes.image_file import load_images
from sandboxes.problem import DocumentError
from sandboxes.profile_file import load_profiles
from sandboxes.secret_source import SecretSource
from sandboxes.state import StateError
from sandboxes.walls import WALLS, missing_walls

_SERVICE_S = 5.0
_PYTHON = (3, 13)
_MACHINES = ("x86_64", "aarch64")
_STORE_LIBRARIES = {"vault": "hvac", "aws": "botocore", "onepassword": "onepasswordconnectsdk"}
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
    findings += await _servers(arguments.config)
    for finding in findings:
        print(_line(finding))
    problems = sum(1 for finding in findings if finding.needed and not finding.good)
    print(f"lockgate: {_verdict(problems)}", file=sys.stderr)
    return Exit.INFRASTRUCTURE if problems else Exit.SUCCESS


def _line(finding: Finding) -> str:
    mark = "ok" if finding.good else "PROBLEM" if finding.needed else "note"
    return f"{mark:<7}  {finding.text}"


def _verdict(problems: int) -> str:
    return f"{problems} problem{'s' * (problems > 1)}" if problems else "ready"


def _checks(config: str | None) -> list[Callable[[], Iterator[Finding]]]:
    machine = [_interpreter, _packages, _images]
    return [
        *machine,
        lambda: _state(config),
        lambda: _configuration(config),
        lambda: _running(config),
        lambda: _engines(config),
        _walls,
        _enclosure,
    ]


def _interpreter() -> Iterator[Finding]:
    least = ".".join(map(str, _PYTHON))
    yield _wanted(sys.version_info[:2] >= _PYTHON, f"Python {platform.python_version()}", f"{least} or newer is needed")
    good = sys.platform == "linux" and platform.machine() in _MACHINES
    system = f"{platform.system()} {platform.release()} {platform.machine()}"
    yield _wanted(good, system, f"Linux on {' or '.join(_MACHINES)} is needed")


def _wanted(good: bool, what: str, needed: str) -> Finding:  # noqa: FBT001 - the outcome of the check
    return Finding(good=good, needed=True, text=what if good else f"{what}; {needed}")


def _packages() -> Iterator[Finding]:
    for name in _PACKAGES:
        try:
            yield Finding(good=True, needed=True, text=f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding(good=False, needed=True, text=f"{name} is not installed; run: pip install lockgate")


def _images() -> Iterator[Finding]:
    for name in (*NAMES, TYPE_ERASER):
        try:
            path = wasm_path(name)
            yield Finding(good=True, needed=True, text=f"guest image {name}, {path.stat().st_size / 1e6:.1f} MB")
        except FileNotFoundError as error:
            yield Finding(good=False, needed=True, text=str(error))


def _state(config: str | None) -> Iterator[Finding]:
    try:
        place = find_place(config=config, server=None)
    except StateError as error:
        yield Finding(good=False, needed=True, text=str(error))
        return
    yield Finding(good=True, needed=True, text=f"state directory {place.state.path}")


def _configuration(config: str | None) -> Iterator[Finding]:
    try:
        place = find_place(config=config, server=None)
        loaded = place.config
        profiles = load_profiles([Path(directory) for directory in loaded.profiles]).profiles
        images = load_images([Path(directory) for directory in loaded.images])
    except (DocumentError, StateError) as error:
        yield Finding(good=False, needed=True, text=str(error))
        return
    if place.config_file is None:
        yield Finding(good=False, needed=False, text="no lockgate.yaml here: no upstream, default addresses")
    else:
        yield Finding(
            good=True, needed=True, text=f"{place.config_file}: {_counted(len(loaded.upstreams), 'upstream')}"
        )
    for problem in (problem for profile in profiles.values() for problem in image_problems(profile, images)):
        yield Finding(good=False, needed=True, text=problem)
    for name, source in loaded.secrets.items():
        yield _secret(name, source)
    for name, store in loaded.secret_stores.items():
        library = _STORE_LIBRARIES[store.kind]
        there = importlib.util.find_spec(library) is not None
        lacks = "" if there else f' needs {library}, which is not installed; install "lockgate[{store.kind}]"'
        yield Finding(good=there, needed=True, text=f"secret store {name}: {store.kind}{lacks}")


def _counted(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'s' * (count > 1)}"


def _secret(name: str, source: SecretSource) -> Finding:
    """A remark at most: the egress proxy may run where this command does not."""
    if source.env is not None:
        there = source.env in os.environ
        how = f"from the variable {source.env}" if there else f"the variable {source.env} is not set"
    elif source.local:
        file = str(source.file or Path(str(source.directory)) / str(source.key))
        there = os.access(file, os.R_OK)
        how = f"from the file {file}" if there else f"the file {file} cannot be read"
    else:
        there, how = (
            True,
            f"from the store {source.store}" if source.store else "fetched by the egress proxy when needed",
        )
    return Finding(good=there, needed=False, text=f"secret {name}: {how}")


def _running(config: str | None) -> Iterator[Finding]:
    """What a service that runs on this state directory has in force."""
    try:
        place = find_place(config=config, server=None)
        status = json.loads(place.state.status_file.read_bytes())
        os.kill(status["pid"], 0)
    except (StateError, OSError, ValueError, KeyError, TypeError):
        return  # none runs
    problem = status.get("problem")
    text = f"running service: generation {status.get('generation')} of the configuration is in force"
    if problem:
        text += f"; the files as they are now cannot be loaded: {problem}"
    yield Finding(not problem, True, text)  # noqa: FBT003
    for key in status.get("stale", []):
        yield Finding(False, False, f"running service: {key} was changed; start it again to use that")  # noqa: FBT003


async def _servers(config: str | None) -> list[Finding]:
    """Upstreams of a running service, and how those over stdio are enclosed. Remarks: that is the operator's."""
    try:
        place = find_place(config=config, server=None)
        token = os.environ.get("LOCKGATE_TOKEN") or place.state.token().get_secret_value()
        async with asyncio.timeout(_SERVICE_S):
            if (address := await running_address(place, token)) is None:
                return []
            async with Client(address, token) as client:
                health = await client.health()
    except (DocumentError, StateError):
        return []  # told by other checks
    except (TimeoutError, grpc.aio.AioRpcError):
        return [Finding(good=False, needed=False, text="running service: it does not answer")]
    return [*map(_upstream, health.upstreams), *map(_server, health.servers)]


def _upstream(state: upstream_pb2.UpstreamState) -> Finding:
    good = state.state == "ready"
    since = state.since.ToDatetime(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    failures = f", {_counted(state.failures, 'failure')} in a row" if state.failures else ""
    reason = "" if good else f" since {since}{failures}: {state.reason}"
    text = f"running upstream {state.name}: {state.state}, {_counted(state.tools, 'tool')}{reason}"
    return Finding(good=good, needed=False, text=text)


def _server(server: runtime_pb2.EnclosedServer) -> Finding:
    missing = [f"{wall.name} ({wall.reason})" for wall in server.walls if wall.reason]
    state = f"without walls: {', '.join(missing)}" if missing else "every wall stands"
    text = f"running server {server.upstream}: network: {server.network}; {state}"
    return Finding(good=not missing, needed=False, text=text)


def _engines(config: str | None) -> Iterator[Finding]:
    try:
        accepted = find_place(config=config, server=None).config.accept_vulnerable_versions
    except (DocumentError, StateError):
        accepted = ()  # told by the check of the configuration
    for state in judge(found_versions(), accepted):
        yield Finding(good=state.decision.allowed, needed=True, text=f"engine: {state.decision.reason}")


def _walls() -> Iterator[Finding]:
    """Tried, not guessed: by a process that does what a worker does."""
    try:
        report = probe_walls()
    except OSError as error:
        yield Finding(good=False, needed=False, text=str(error.strerror))
        return
    missing = missing_walls(report)
    for wall in WALLS:
        yield Finding(good=wall not in missing, needed=False, text=f"wall {wall}: {missing.get(wall, 'stands')}")


def _enclosure() -> Iterator[Finding]:
    """Of MCP servers over stdio and of commands under `lockgate egress run`. Tried as well."""
    for wall, state in probe().items():
        yield Finding(good=state == UP, needed=False, text=f"children's {wall}: {'stands' if state == UP else state}")
