"""The command line: `lockgate COMMAND`."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from importlib.metadata import version

import grpc

from runtime.command import catalog, doctor, mcp, profiles, run, serve
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
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in (serve, mcp, run):
        command.add_parser(commands)
    catalog.add_parsers(commands)
    profiles.add_parser(commands)
    doctor.add_parser(commands)
    commands.add_parser("version", help="print the version").set_defaults(main=_version)
    return top


async def _version(_: argparse.Namespace) -> int:
    print(f"lockgate {version('lockgate')}")
    return Exit.SUCCESS


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its status."""
    parsed = parser().parse_args(arguments)
    try:
        status = asyncio.run(parsed.main(parsed))
    except KeyboardInterrupt:
        status = Exit.INTERRUPTED
    except grpc.aio.AioRpcError as error:
        print(f"lockgate: {error.details()}", file=sys.stderr)
        status = Exit.REFUSED if error.code() in _REFUSALS else Exit.INFRASTRUCTURE
    except (DocumentError, StateError) as error:
        print(f"lockgate: {error}", file=sys.stderr)
        status = Exit.REFUSED
    except (ChildFailedError, OSError, RuntimeError, TimeoutError) as error:
        print(f"lockgate: {error}", file=sys.stderr)
        status = Exit.INFRASTRUCTURE
    except BrokenPipeError:
        status = Exit.SUCCESS
    sys.exit(status)


if __name__ == "__main__":
    main()
