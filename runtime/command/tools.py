"""`lockgate tools skipped`: what upstreams offer that no program can call, and why."""

import argparse
import sys
from typing import Any

from runtime.command import review
from runtime.command.catalog import upstreams_settled
from runtime.command.connection import connected, find_place
from runtime.command.exits import Exit


def add_parser(commands: Any) -> None:
    """The command's options."""
    tools = commands.add_parser("tools", help="what the catalog leaves out, and what waits to be accepted")
    kinds = tools.add_subparsers(dest="kind", required=True, metavar="WHAT")
    skipped = kinds.add_parser("skipped", help="operations and tools that are not supported, and why")
    skipped.add_argument("upstream", nargs="?", default="", help="of this upstream only")
    skipped.add_argument("--config", help="lockgate.yaml to use")
    skipped.add_argument("--server", help="host:port of a running service")
    skipped.set_defaults(main=_skipped)
    review.add_parser(kinds)


async def _skipped(arguments: argparse.Namespace) -> int:
    place = find_place(config=arguments.config, server=arguments.server)
    async with connected(place) as client:
        await upstreams_settled(client)
        reply = await client.skipped(arguments.upstream)
    for tool in reply.tools:
        print(f"{tool.upstream}: {tool.original}\n    {tool.reason}")
    if reply.total > len(reply.tools):
        print(f"lockgate: and {reply.total - len(reply.tools)} more; name an upstream", file=sys.stderr)
    if not reply.total:
        print("lockgate: nothing is left out", file=sys.stderr)
    return Exit.SUCCESS
