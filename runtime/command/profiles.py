"""`lockgate profiles`: what is there, and whether a file is a good one. Needs no service."""

import argparse
import sys
from pathlib import Path
from typing import Any

from runtime.command.connection import find_place
from runtime.command.exits import Exit
from sandboxes.config import undeclared_secrets
from sandboxes.profile import Profile
from sandboxes.profile_file import ProfileError, load_profile, load_profiles


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("profiles", help="list profiles, or check files")
    parser.add_argument("action", nargs="?", choices=["check"], help="check FILE ...")
    parser.add_argument("file", nargs="*", help="profile documents to check")
    parser.add_argument("--config", help="lockgate.yaml to use")
    parser.set_defaults(main=_profiles)


async def _profiles(arguments: argparse.Namespace) -> int:
    if arguments.action == "check":
        return _check(arguments)
    place = find_place(config=arguments.config, server=None)
    store = load_profiles([Path(directory) for directory in place.config.profiles])
    for name, profile in sorted(store.profiles.items()):
        print(f"{name}  version {profile.version}  {profile.digest()}\n    {profile.description}")
    for warning in undeclared_secrets(place.config, store.profiles.values()):
        print(f"lockgate: warning: {warning}", file=sys.stderr)
    return Exit.SUCCESS


def _check(arguments: argparse.Namespace) -> int:
    if not arguments.file:
        print("lockgate: profiles check needs a file", file=sys.stderr)
        return Exit.USAGE
    good = [_good(Path(name)) for name in arguments.file]
    return Exit.SUCCESS if all(good) else Exit.REFUSED


def _good(path: Path) -> bool:
    try:
        profile: Profile = load_profile(path)
    except ProfileError as error:
        print(error, file=sys.stderr)
        return False
    print(f"{path}: {profile.name} version {profile.version} {profile.digest()}")
    return True
