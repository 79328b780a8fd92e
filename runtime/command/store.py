"""`lockgate store`: what is in the store, its schema, and back-ups of it. Needs no service."""

import argparse
import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runtime.command.connection import Place, find_place
from runtime.command.exits import Exit
from runtime.store.configured import configured_database
from runtime.store.connection import Database
from runtime.store.password import store_password
from runtime.store.upkeep import described, migrated, restored, saved


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
    for action, main in ((info, _info), (migrate, _migrate), (backup, _back_up), (restore, _restore)):
        action.add_argument("--config", help="lockgate.yaml to use")
        action.set_defaults(main=main)


async def _info(arguments: argparse.Namespace) -> int:
    place = find_place(config=arguments.config, server=None)
    return await _told(place, lambda database: described(database, place.config.store, place.state))


async def _migrate(arguments: argparse.Namespace) -> int:
    return await _told(find_place(config=arguments.config, server=None), migrated)


async def _back_up(arguments: argparse.Namespace) -> int:
    place = find_place(config=arguments.config, server=None)
    return await _told(place, lambda database: saved(database, arguments.file.absolute()))


async def _restore(arguments: argparse.Namespace) -> int:
    place = find_place(config=arguments.config, server=None)
    file = arguments.file.absolute()
    return await _told(place, lambda database: restored(database, file, replace=arguments.replace))


async def _told(place: Place, work: Callable[[Database], list[str]]) -> int:
    """Do the work and print its lines."""
    config = place.config.store
    database = configured_database(config, place.state, store_password(config, os.environ))
    try:
        for line in await asyncio.to_thread(work, database):
            print(line)
    finally:
        database.close()
    return Exit.SUCCESS
