"""`lockgate egress diff A B`: what B allows and A does not. For reviews, and for CI by its exit status."""

import argparse
import json
import sys
from dataclasses import asdict
from typing import Any, Final

from runtime.command.connection import find_place
from runtime.command.egress_rules import profile_named
from runtime.command.exits import Exit
from sandboxes.egress_difference import Difference, newly_allowed

_TITLES: Final = {
    "allowed": "newly allowed",
    "credentials": "newly reachable credentials",
    "networks": "newly reachable private networks",
    "wildcards": "newly allowed by a wildcard",
    "modes": "no longer enforced",
    "screens": "no longer looked for in what leaves",
}


def add_parser(commands: Any) -> None:
    """The command's options."""
    status = f"Exit status {Exit.ALLOWS_MORE:d} if B allows anything that A does not, 0 if nothing, whatever the text."
    parser = commands.add_parser("diff", help="say what a change of a profile newly lets out", description=status)
    parser.add_argument("old", metavar="A", help="a profile, or a file with one")
    parser.add_argument("new", metavar="B", help="a profile, or a file with one")
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("--config", help="lockgate.yaml to use")
    parser.set_defaults(main=_diff)


async def _diff(arguments: argparse.Namespace) -> int:
    place = find_place(config=arguments.config, server=None)
    try:
        old, new = (profile_named(place, name) for name in (arguments.old, arguments.new))
    except (ValueError, LookupError) as error:
        print(f"lockgate: {error}", file=sys.stderr)
        return Exit.REFUSED
    difference = newly_allowed(old.egress, new.egress)
    print(json.dumps(asdict(difference), indent=2) if arguments.json else _text(difference))
    return Exit.ALLOWS_MORE if difference else Exit.SUCCESS


def _text(difference: Difference) -> str:
    parts = [
        "\n".join([f"{title}:", *(f"  {line}" for line in lines)])
        for field, title in _TITLES.items()
        if (lines := getattr(difference, field))
    ]
    return "\n".join(parts) or "nothing is newly allowed"
