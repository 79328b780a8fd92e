"""All commands: their options, and what becomes of their errors."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

import grpc

from runtime.command import (
    approvals,
    catalog,
    doctor,
    egress,
    mcp,
    profiles,
    replay,
    rollback,
    run,
    serve,
    sessions,
    store,
    tools,
)
from runtime.command.exits import Exit
from runtime.service.child import ChildFailedError
from sandboxes.problem import DocumentError
from sandboxes.state import StateError

_REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    top = argparse.ArgumentParser(prog="lockgate", description="Runs agent-written programs where they can do no harm.")
    top.add_argument("--version", action="version", version=f"lockgate {version('lockgate')}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (serve, mcp, run, replay):
        command.add_parser(commands)
    catalog.add_parsers(commands)
    tools.add_parser(commands)
    profiles.add_parser(commands)
    approvals.add_parser(commands)
    sessions.add_parser(commands)
    rollback.add_parser(commands)
    egress.add_parser(commands)
    store.add_parser(commands)
    doctor.add_parser(commands)
    commands.add_parser("version", help="print the version").set_defaults(main=_version)
    return top


async def _version(_: argparse.Namespace) -> int:
    print(f"lockgate {version('lockgate')}")
    return Exit.SUCCESS


def run_line(arguments: Sequence[str] | None) -> int:
    """Run one command; its exit status. Raises KeyboardInterrupt."""
    parsed = parser().parse_args(arguments)
    try:
        return int(asyncio.run(parsed.main(parsed)))
    except grpc.aio.AioRpcError as error:
        print(f"lockgate: {error.details()}", file=sys.stderr)
        return Exit.REFUSED if error.code() in _REFUSALS else Exit.INFRASTRUCTURE
    except (DocumentError, StateError) as error:
        print(f"lockgate: {error}", file=sys.stderr)
        return Exit.REFUSED
    except BrokenPipeError:
        # Who read our output has seen enough; what is still buffered must not fail once more at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.SUCCESS
    except (ChildFailedError, OSError, RuntimeError, TimeoutError) as error:
        print(f"lockgate: {error}", file=sys.stderr)
        return Exit.INFRASTRUCTURE
