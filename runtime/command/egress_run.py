"""`lockgate egress run -- CMD`: a command of the operator's own whose way out is an egress proxy."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any, Final

from runtime.command.connection import find_place
from runtime.command.exits import Exit
from runtime.enclosure.enclosure import Enclosure, EnclosureError, Way, enclosed
from runtime.enclosure.environment import without_network
from runtime.enclosure.walls import Network
from runtime.service.private_proxy import PrivateProxy
from sandboxes.config import Config
from sandboxes.profile import Profile, environment_allowed
from sandboxes.profile_file import load_profiles
from sandboxes.token import MOST_LIFETIME_S

_SIGNALLED: Final = 128
_FORWARDED: Final = (
    signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGQUIT,
)  # fmt: skip


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("run", help="run a command whose only way out is the egress proxy")
    parser.add_argument("--profile", default="standard", help="whose egress rules decide; default: standard")
    parser.add_argument("--environment", choices=["dev", "stage", "prod"], default="dev")
    parser.add_argument("--config", help="lockgate.yaml to use")
    parser.add_argument(
        "--isolate",
        choices=["require", "prefer", "no"],
        default="prefer",
        help="a network namespace in which the proxy is all there is; default: where the machine allows",
    )
    parser.add_argument(
        "--ttl", type=_seconds, default=3_600, help="seconds that the token of one connection lives; default: 3600"
    )
    parser.add_argument("argv", nargs="+", metavar="CMD", help="the command and its arguments, after --")
    parser.set_defaults(main=run)


def _seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MOST_LIFETIME_S):
        raise argparse.ArgumentTypeError(f"{text} is not a number of seconds from 1 to {MOST_LIFETIME_S}")
    return int(text)


async def run(arguments: argparse.Namespace) -> int:
    """Run it; the command's own exit status, or 128 and the signal that ended it."""
    place = find_place(config=arguments.config, server=None)
    try:
        profile = _profile(place.config, arguments.profile, arguments.environment)
    except ValueError as error:
        print(f"lockgate: {error}", file=sys.stderr)
        return Exit.REFUSED
    proxy = PrivateProxy(
        state=place.state,
        config=place.config,
        profile=profile,
        environment=arguments.environment,
        lifetime_s=arguments.ttl,
    )
    async with proxy.running() as way:
        _warn(*proxy.warnings)
        try:
            return await _run(arguments, place.config, way)
        except FileNotFoundError as error:
            print(f"lockgate: there is no {error.filename}", file=sys.stderr)
            return Exit.NO_COMMAND


async def _run(arguments: argparse.Namespace, config: Config, way: Way) -> int:
    async with enclosed(Network.PROXY, way, isolate=arguments.isolate != "no") as enclosure:
        if enclosure.missing and arguments.isolate == "require":
            raise EnclosureError(f"--isolate=require, and there is no network namespace: {enclosure.missing}")
        if enclosure.missing and arguments.isolate == "prefer":
            _warn(f"there is no network namespace ({enclosure.missing}), so the command could go around the proxy")
        process = await _started(arguments.argv, config, enclosure)
        status = await process.wait()
        return _SIGNALLED - status if status < 0 else status


async def _started(argv: list[str], config: Config, enclosure: Enclosure) -> asyncio.subprocess.Process:
    control = enclosure.control.fileno()
    process = await asyncio.create_subprocess_exec(
        *enclosure.command(argv, control), env=_environment(config) | enclosure.environment, pass_fds=[control]
    )
    loop = asyncio.get_running_loop()
    for number in _FORWARDED:
        loop.add_signal_handler(number, _forward, process, number)
    try:
        await enclosure.established()
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        raise
    return process


def _environment(config: Config) -> dict[str, str]:
    """The operator's, without the variables that hold the proxy's secrets or the API's token."""
    secret = {source.env for source in config.secrets.values() if source.env is not None}
    return without_network(os.environ, frozenset({*secret, "LOCKGATE_TOKEN"}))


def _forward(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """To the command, unless a terminal has sent it to both of us."""
    if number in {signal.SIGINT, signal.SIGQUIT} and _in_foreground():
        return
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def _profile(config: Config, name: str, environment: str) -> Profile:
    """Raises ValueError, or ProfileError for files that cannot be used."""
    profiles = load_profiles([Path(place) for place in config.profiles]).profiles
    profile = profiles.get(name)
    if profile is None:
        raise ValueError(f'there is no profile "{name}"; the profiles are {", ".join(sorted(profiles))}')
    allowed = environment_allowed(profile, environment)
    if not allowed.allowed:
        raise ValueError(allowed.reason)
    return profile


def _warn(*warnings: str) -> None:
    for warning in warnings:
        print(f"lockgate: warning: {warning}", file=sys.stderr)
