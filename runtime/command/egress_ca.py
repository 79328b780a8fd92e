"""`lockgate egress ca` and `lockgate egress rotate-ca`: the certificate authority of the egress proxy."""

import argparse
import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

from runtime.command.exits import Exit
from sandboxes.state import open_state, state_path


def add_parser(commands: Any) -> None:
    """The commands' options."""
    shown = commands.add_parser("ca", help="print the certificates that clients of the egress proxy trust, PEM")
    shown.set_defaults(main=_show)
    rotated = commands.add_parser("rotate-ca", help="sign by the next certificate authority from now on")
    rotated.add_argument(
        "--replace",
        action="store_true",
        help="distrust every authority there was: for a key that leaked; clients have to load the file again",
    )
    rotated.set_defaults(main=_rotate)


async def _show(_: argparse.Namespace) -> int:
    made = await _authority("ensure")
    sys.stdout.write(await asyncio.to_thread(Path(made["bundle"]).read_text, "ascii"))
    return Exit.SUCCESS


async def _rotate(arguments: argparse.Namespace) -> int:
    made = await _authority("replace" if arguments.replace else "rotate")
    present, following, *earlier = made["fingerprints"]
    print(f"in force  {present}\nnext      {following}")
    for fingerprint in earlier:
        print(f"earlier   {fingerprint}")
    again = "clients have to load it again" if arguments.replace else "clients that loaded it before go on"
    print(f"lockgate: {made['bundle']} has them; {again}", file=sys.stderr)
    return Exit.SUCCESS


async def _authority(action: str) -> dict[str, Any]:
    """By a process of its own: only the egress proxy's side knows how to make one. Raises RuntimeError."""
    state = open_state(state_path(os.environ))
    arguments = ["-m", "egress.certificate_authority", str(state.path), action]
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"the certificate authority in {state.ca} could not be used; the lines above say why")
    made: dict[str, Any] = json.loads(said)
    return made
