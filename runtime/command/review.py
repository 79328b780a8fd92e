"""`lockgate tools review`: tools of MCP upstreams that are new or not as they were, and their acceptance."""

import argparse
import difflib
import json
import os
import sys
from collections.abc import Iterator
from typing import Any

from runtime.command.exits import Exit
from sandboxes.state import open_state, state_path

_DIGEST = 12


def add_parser(kinds: Any) -> None:
    """The command's options."""
    review = kinds.add_parser("review", help="tools that are held back because they changed; accept them")
    review.add_argument(
        "--accept", nargs="+", default=[], metavar="NAME@DIGEST", help="as the review shows them: upstream.tool@digest"
    )
    review.set_defaults(main=_review)


async def _review(arguments: argparse.Namespace) -> int:
    from runtime.portal.mcp_review import ReviewFile, digest_of  # noqa: PLC0415 - the MCP SDK takes half a second

    directory = open_state(state_path(os.environ)).tools
    files = {path.stem: ReviewFile(directory, path.stem) for path in sorted(directory.glob("*.json"))}
    failed = False
    for each in arguments.accept:
        name, _, digest = each.rpartition("@") if "@" in each else (each, "", "")
        upstream, _, tool = name.partition(".")
        try:
            files[upstream].accept(tool, digest)
        except KeyError:
            failed = True
            print(f"lockgate: no such tool is held back: {each}", file=sys.stderr)
        else:
            print(f"accepted {name}")
    held = 0
    for upstream, file in files.items() if not arguments.accept else ():
        reviewed = file.read()
        for tool, definition in sorted(reviewed.held.items()):
            held += 1
            # As JSON: a name or a description may hold what a terminal obeys.
            shown = json.dumps(f"{upstream}.{tool}@{digest_of(definition)[:_DIGEST]}")[1:-1]
            print(f"{shown}{'' if tool in reviewed.accepted else '  (new)'}")
            print("\n".join(f"    {line}" for line in _diff(reviewed.accepted.get(tool, {}), definition)))
    if not held and not arguments.accept:
        print("lockgate: nothing is held back", file=sys.stderr)
    return Exit.PROGRAM_ERROR if failed else Exit.SUCCESS


def _diff(before: Any, after: Any) -> Iterator[str]:
    was, now = (json.dumps(each, indent=1, sort_keys=True).splitlines() for each in (before, after))
    lines = difflib.unified_diff(was, now, lineterm="", n=1)
    return (line for line in lines if not line.startswith(("---", "+++", "@@")))
