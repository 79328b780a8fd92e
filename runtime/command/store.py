"""`lockgate store`: what is in the store, its schema, and back-ups of it. Needs no service."""

import argparse
import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from runtime.command.connection import find_place
from runtime.command.exits import Exit
from runtime.store.password import store_password


def add_parser(commands: Any) -> None:
    """The commands' options."""
    parser = commands.add_parser("store", help="what is in the store; migrate it, back it up, restore it")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    info = actions.add_parser("info", help="what is in it, and how much")
    migrate = actions.add_parser("migrate", help="bring its schema up to date; the service does so when it starts")
    backup = actions.add_parser("backup", help="copy it into a new file, also while the service runs")
    restore = actions.add_parser("restore", help="copy a back-up into it; the service must not run")
    restore.add_argument("--replace", action="store_true", help="remove what is in the store")
    for action in (backup, restore):
        action.add_argument("file", type=Path, metavar="FILE")
    for action in (info, migrate, backup, restore):
        action.add_argument("--config", help="lockgate.yaml to use")
        action.set_defaults(main=_store)


async def _store(arguments: argparse.Namespace) -> int:
    """Do it, and print its lines."""
    # SQLAlchemy takes a quarter of a second to load, which no other command has to wait for.
    from runtime.store import upkeep  # noqa: PLC0415 - as said
    from runtime.store.configured import configured_database  # noqa: PLC0415
    from runtime.store.connection import Database  # noqa: PLC0415

    place = find_place(config=arguments.config, server=None)
    config = place.config.store
    file = arguments.file.absolute() if "file" in arguments else Path()
    actions: dict[str, Callable[[Database], list[str]]] = {
        "info": partial(upkeep.described, config=config, state=place.state),
        "migrate": upkeep.migrated,
        "backup": partial(upkeep.saved, path=file),
        "restore": partial(upkeep.restored, path=file, replace=arguments.action == "restore" and arguments.replace),
    }
    database = configured_database(config, place.state, store_password(config, os.environ))
    try:
        for line in await asyncio.to_thread(actions[arguments.action], database):
            print(line)
    finally:
        database.close()
    return Exit.SUCCESS
