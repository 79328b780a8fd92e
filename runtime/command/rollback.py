"""`lockgate rollback`: undo what an execution did before it failed."""

import argparse
from typing import Any

from runtime.client import local_context
from runtime.command.connection import add_options, connected, find_place
from runtime.command.exits import Exit
from runtime.command.text import harmless


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("rollback", help="undo what an execution did before it failed, where that is declared")
    parser.add_argument("id", help="the execution's id")
    parser.add_argument("--environment", choices=["dev", "stage", "prod"], default="dev")
    parser.add_argument("--reason", default="", help="why, for the record")
    add_options(parser)
    parser.set_defaults(main=_rollback)


async def _rollback(arguments: argparse.Namespace) -> int:
    place = find_place(config=arguments.config, server=arguments.server)
    context = local_context(arguments.reason or f"lockgate rollback {arguments.id}", arguments.environment)
    async with connected(place) as client:
        execution = await client.rollback(arguments.id, context)
    for step in execution.rollback:
        undo = f" by {step.tool}" if step.tool else ""
        print(harmless(f"call {step.call_number} {step.target}: {step.outcome}{undo} {step.reason}".rstrip()))
    undone = all(step.outcome == "undone" for step in execution.rollback if step.tool)
    return Exit.SUCCESS if undone else Exit.PROGRAM_ERROR
