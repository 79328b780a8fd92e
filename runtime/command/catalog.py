"""`lockgate search` and `lockgate describe`: what programs can call."""

import argparse
import asyncio
import sys
from typing import Any

from runtime.client import Client
from runtime.command.connection import add_options, connected, find_place
from runtime.command.exits import Exit
from runtime.portal.reply_text import approval_mark
from runtime.rpc import portal_pb2 as pb

_WAIT_S = 20.0


def add_parsers(commands: Any) -> None:
    """The two commands' options."""
    search = commands.add_parser("search", help="find tools by words")
    search.add_argument("words", nargs="*")
    search.add_argument("--limit", type=int, default=10)
    search.add_argument("--profile", default="", help="tell which of the tools it lets go, asks about, or refuses")
    search.set_defaults(main=_search)
    describe = commands.add_parser("describe", help="print a tool's declaration")
    describe.add_argument("tool", nargs="+", help="upstream.tool")
    describe.set_defaults(main=_describe)
    for parser in (search, describe):
        parser.add_argument("--language", choices=["javascript", "python"], default="javascript")
        add_options(parser)


async def _search(arguments: argparse.Namespace) -> int:
    place = find_place(config=arguments.config, server=arguments.server)
    async with connected(place) as client:
        await upstreams_settled(client)
        query = " ".join(arguments.words)
        reply = await client.search(
            query, limit=arguments.limit, language=arguments.language, profile=arguments.profile
        )
    for tool in reply.tools:
        marks = ("" if tool.read_only else "  [writes]") + approval_mark(tool.approval)
        print(f"{tool.name}{marks}\n    {tool.signature}\n    {tool.purpose}")
    if reply.unmatched_terms:
        print(f"lockgate: no tool matches: {', '.join(reply.unmatched_terms)}", file=sys.stderr)
    for upstream in reply.upstreams:
        print(f"lockgate: upstream {upstream.name} is {upstream.state}: {upstream.reason}", file=sys.stderr)
    if not reply.catalog_size:
        print("lockgate: the catalog is empty: no lockgate.yaml was found here, or it has no upstream", file=sys.stderr)
    elif not reply.tools:
        print(f"lockgate: nothing found among {reply.catalog_size} tools", file=sys.stderr)
    return Exit.SUCCESS if reply.tools else Exit.PROGRAM_ERROR


async def _describe(arguments: argparse.Namespace) -> int:
    place = find_place(config=arguments.config, server=arguments.server)
    async with connected(place) as client:
        await upstreams_settled(client)
        reply = await client.describe(arguments.tool, language=arguments.language)
    if reply.declarations:
        print(reply.declarations)
    for unknown in reply.unknown:
        near = f"; the nearest are {', '.join(unknown.nearest)}" if unknown.nearest else ""
        print(f'lockgate: there is no tool "{unknown.name}"{near}', file=sys.stderr)
    return Exit.PROGRAM_ERROR if reply.unknown else Exit.SUCCESS


async def upstreams_settled(client: Client) -> pb.SearchResponse:
    """A cell that has just been started still loads its upstreams."""
    async with asyncio.timeout(_WAIT_S):
        while True:
            reply = await client.search("", limit=1)
            if not any(upstream.state == "starting" for upstream in reply.upstreams):
                return reply
            await asyncio.sleep(0.05)
