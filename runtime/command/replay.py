"""`lockgate replay`: an ended execution once more, from its record, touching nothing outside."""

import argparse
import sys
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from runtime.command.connection import add_options, connected, find_place
from runtime.command.exits import Exit
from runtime.rpc import runtime_pb2 as pb


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("replay", help="run an ended execution again from its record, and compare")
    parser.add_argument("execution", help="its id")
    parser.add_argument("--until", type=int, default=0, metavar="N", help="stop before its Nth host call")
    parser.add_argument("--code", metavar="FILE", help="another program: show where it would do otherwise")
    parser.add_argument("--logs", action="store_true", help="print what the program writes")
    parser.add_argument("--json", action="store_true", help="print the whole reply as proto JSON")
    add_options(parser, embedded=True)
    parser.set_defaults(main=run)


async def run(arguments: argparse.Namespace) -> int:
    """Replay it; the exit status tells whether all was as recorded."""
    try:
        code = _read(arguments.code)
    except (OSError, UnicodeDecodeError) as error:
        print(f"lockgate: cannot read {arguments.code}: {error}", file=sys.stderr)
        return Exit.USAGE
    place = find_place(config=arguments.config, server=arguments.server, embedded=arguments.embedded)
    async with connected(place) as client:
        request = pb.ReplayRequest(execution_id=arguments.execution, until=arguments.until, code=code)
        reply = await client.replay(request)
    if arguments.json:
        print(json_format.MessageToJson(reply, preserving_proto_field_name=True))
    else:
        _print(reply, logs=arguments.logs)
    return Exit.SUCCESS if reply.verified else Exit.PROGRAM_ERROR


def _read(name: str | None) -> str:
    return Path(name).read_text() if name else ""


def _print(reply: pb.ReplayResponse, *, logs: bool) -> None:
    if logs:
        for line in reply.logs:
            print(line.text)
    for difference in reply.differences:
        where = f" {difference.at}" if difference.at else ""
        print(f"{difference.what}{where} differs")
        print(f"  recorded: {difference.expected or 'nothing'}")
        print(f"  now:      {difference.found or 'nothing'}")
    how_far = "stopped there" if reply.stopped else "to its end"
    verdict = "as recorded" if reply.verified else "not as recorded"
    print(f"{verdict}: {reply.calls} host calls, {how_far}")
