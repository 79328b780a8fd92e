"""`lockgate sessions`: sessions whose programs keep their globals, listed, closed and forked."""

import argparse
import getpass
import json
import sys
from typing import Any

from google.protobuf import json_format

from runtime.command.connection import add_options, connected, find_place
from runtime.command.exits import Exit
from runtime.command.text import harmless
from runtime.rpc import runtime_pb2 as pb


def add_parser(commands: Any) -> None:
    """The command's options."""
    sessions = commands.add_parser("sessions", help="sessions whose programs keep their globals: list, close, fork")
    actions = sessions.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="open ones, one line each, the oldest first")
    listing.set_defaults(main=_list)
    closing = actions.add_parser("close", help="end what runs in them, and forget their globals and stores")
    closing.add_argument("id", nargs="+", metavar="ID", help="as list tells it: ses_...")
    closing.set_defaults(main=_close)
    forking = actions.add_parser("fork", help="go on twice: a second session with the same globals")
    forking.add_argument("id", metavar="ID", help="of the session to fork, as list tells it: ses_...")
    forking.add_argument("session_id", metavar="SESSION_ID", help="what programs of the new one will call it")
    forking.add_argument(
        "--after", default="", metavar="EXECUTION", help="with the globals as they were after this one"
    )
    forking.set_defaults(main=_fork)
    for each in (listing, forking):
        each.add_argument("--json", action="store_true", help="as proto JSON, one object a line")
    for each in (listing, closing, forking):
        each.add_argument("--owner", default="", help="whose sessions; default: your user name, as of `lockgate run`")
        add_options(each)


async def _list(arguments: argparse.Namespace) -> int:
    async with _client(arguments) as client:
        found = await client.kept_sessions(_owner(arguments))
    for session in found:
        _print(session, arguments)
    if not found and not arguments.json:
        print(harmless(f"lockgate: {_owner(arguments)} has no open session that keeps globals"), file=sys.stderr)
    return Exit.SUCCESS


async def _close(arguments: argparse.Namespace) -> int:
    async with _client(arguments) as client:
        for session_id in arguments.id:
            await client.close_session(_owner(arguments), session_id)
            print(harmless(f"{session_id}  closed"), flush=True)
    return Exit.SUCCESS


async def _fork(arguments: argparse.Namespace) -> int:
    async with _client(arguments) as client:
        forked = await client.fork_session(_owner(arguments), arguments.id, arguments.session_id, arguments.after)
    _print(forked, arguments)
    return Exit.SUCCESS


def _client(arguments: argparse.Namespace) -> Any:
    return connected(find_place(config=arguments.config, server=arguments.server))


def _owner(arguments: argparse.Namespace) -> str:
    return arguments.owner or getpass.getuser()


def _print(session: pb.KeptSession, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(json_format.MessageToDict(session, preserving_proto_field_name=True)))
    else:
        print(line(session))


def line(session: pb.KeptSession) -> str:
    """One line: id, language, programs, what it does, where its isolate is, last use, and what its client calls it."""
    language = pb.Language.Name(session.language).removeprefix("LANGUAGE_").lower()
    programs = f"{session.programs} program{'' if session.programs == 1 else 's'}"
    doing = f"busy with {session.running_execution_id}" if session.running_execution_id else "rests"
    if session.lost:
        doing = f"lost ({session.lost})"
    waiting = f", {session.waiting} wait" if session.waiting else ""
    place = f"in memory ({session.memory_bytes / 2**20:.1f} MiB)" if session.in_memory else "not in memory"
    parent = f"  fork of {session.parent_id}" if session.parent_id else ""
    used = session.used_at.ToJsonString()
    return harmless(
        f"{session.id}  {language}  {programs}  {doing}{waiting}  {place}  used {used}{parent}  {session.session_id}"
    )
