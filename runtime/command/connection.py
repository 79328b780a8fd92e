"""Where a command finds its service: a running one, or a cell of its own."""

import argparse
import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import grpc

from runtime.client import Client
from runtime.service.cell import Cell, CellOptions
from sandboxes.config import Config, load_config, split_endpoint
from sandboxes.state import StateDirectory, open_state, state_path

CONFIG_NAME = "lockgate.yaml"
_PATIENCE_S = 0.7


def add_options(parser: argparse.ArgumentParser, *, embedded: bool = False) -> None:
    """`--config` and `--server`, and with `embedded` its option, which contradicts a server."""
    parser.add_argument("--config", help="lockgate.yaml to use")
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--server", type=_endpoint, metavar="HOST:PORT", help="a running service")
    if embedded:
        where.add_argument("--embedded", action="store_true", help="start a cell of its own even if a service runs")


def _endpoint(text: str) -> str:
    try:
        split_endpoint(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """What the options and the environment say: state directory, configuration, a server to use."""

    state: StateDirectory
    config_file: Path | None
    server: str | None
    embedded: bool

    @property
    def config(self) -> Config:
        """The configuration, or the defaults. Raises ConfigError."""
        return load_config(self.config_file) if self.config_file is not None else Config()


def find_place(*, config: str | None, server: str | None, embedded: bool = False) -> Place:
    """Options first, then $LOCKGATE_CONFIG, then a lockgate.yaml in the working directory. Raises StateError."""
    named = config or os.environ.get("LOCKGATE_CONFIG")
    default = Path(CONFIG_NAME)
    config_file = Path(named) if named else default if default.is_file() else None
    return Place(
        state=open_state(state_path(os.environ)),
        config_file=config_file.absolute() if config_file is not None else None,
        server=server,
        embedded=embedded,
    )


@contextlib.asynccontextmanager
async def connected(place: Place) -> AsyncIterator[Client]:
    """A client of the server that was named, of one that runs where the configuration says, or of an own cell."""
    token = os.environ.get("LOCKGATE_TOKEN") or place.state.token().get_secret_value()
    address = place.server or (None if place.embedded else await running_address(place, token))
    if address is not None:
        async with Client(address, token) as client:
            yield client
        return
    options = CellOptions(state=place.state, config_file=place.config_file, any_port=True, workers=1)
    async with _told_if_slow("starting a cell"), Cell(options) as cell:
        for warning in cell.warnings:
            print(f"lockgate: warning: {warning}", file=sys.stderr)
        async with Client(cell.grpc_address, cell.token) as client:
            yield client


async def running_address(place: Place, token: str) -> str | None:
    """Of the service that runs where the configuration says and takes this token; None if there is none."""
    address = place.config.listen.grpc
    host, port = split_endpoint(address)
    with contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_PATIENCE_S):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
        async with Client(address, token) as client:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await client.profiles()
                return address
    return None


@contextlib.asynccontextmanager
async def _told_if_slow(what: str) -> AsyncIterator[None]:
    """Say what is being waited for, to a person only, when it takes long enough to wonder."""
    loop = asyncio.get_running_loop()
    timer = loop.call_later(_PATIENCE_S, lambda: print(f"lockgate: {what} ...", file=sys.stderr, flush=True))
    if not sys.stderr.isatty():
        timer.cancel()
    try:
        yield
    finally:
        timer.cancel()
