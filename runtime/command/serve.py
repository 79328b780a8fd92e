"""`lockgate serve`: a cell that stays."""

import argparse
import asyncio
import logging
import signal
import sys
from typing import Any

from runtime.command.connection import Place, find_place
from runtime.command.exits import Exit
from runtime.service.cell import Cell, CellOptions, describe


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("serve", help="run the service")
    parser.add_argument("--config", help="lockgate.yaml to use")
    parser.add_argument(
        "--workers",
        type=int,
        choices=range(1, 65),
        metavar="N",
        default=None,
        help="worker processes; default: one per core",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON line with the addresses when ready")
    parser.set_defaults(main=_serve)


async def _serve(arguments: argparse.Namespace) -> int:
    logging.basicConfig(level=logging.INFO, format="lockgate: %(message)s")
    place = find_place(config=arguments.config, server=None)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    options = CellOptions(state=place.state, config_file=place.config_file, workers=arguments.workers)
    async with Cell(options) as cell:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, cell.reload)
        print(describe(cell) if arguments.json else _greeting(cell, place), flush=True)
        for warning in cell.warnings:
            print(f"lockgate: warning: {warning}", file=sys.stderr)
        await stop.wait()
        print("lockgate: stopping", file=sys.stderr)
    return Exit.SUCCESS


def _greeting(cell: Cell, place: Place) -> str:
    return f"""Lockgate is ready.
  gRPC        {cell.grpc_address}   (service lockgate.v1.Runtime and lockgate.v1.Portal, reflection on)
  MCP         http://{cell.mcp_address}/mcp
  token       {place.state.token_file}   (send it as `authorization: Bearer TOKEN`)
  egress log  {place.state.event_file}

Try it from another terminal:
  echo '1 + 1' | lockgate run -
  lockgate search WORDS

Ctrl-C stops it."""
