"""`lockgate mcp`: the pair `search` and `execute` over standard input and output."""

import argparse
from importlib.metadata import version
from typing import Any

from runtime.command.connection import add_options, connected, find_place
from runtime.command.exits import Exit


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("mcp", help="serve the pair search and execute over stdio")
    parser.add_argument("--profile", default="standard", help="for requests that name none; default: standard")
    parser.add_argument("--environment", choices=["dev", "stage", "prod"], default="dev")
    parser.add_argument("--owner", default="mcp", help="who answers for what the client does")
    parser.add_argument("--read-only", action="store_true", help="only tools that are known to only read, and no fetch")
    add_options(parser)
    parser.set_defaults(main=_mcp)


async def _mcp(arguments: argparse.Namespace) -> int:
    from runtime.portal.mcp_server import portal_server, serve_stdio  # noqa: PLC0415 - the MCP SDK takes half a second
    from runtime.service.client_face import ClientFace  # noqa: PLC0415 - loads it too

    place = find_place(config=arguments.config, server=arguments.server)
    async with connected(place) as client:
        face = ClientFace(
            client,
            profile=arguments.profile,
            environment=arguments.environment,
            owner=arguments.owner,
            read_only=arguments.read_only,
            portal=place.config.portal,
        )
        await serve_stdio(portal_server(face, version("lockgate"), read_only=arguments.read_only))
    return Exit.SUCCESS
