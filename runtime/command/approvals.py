"""`lockgate approvals`: what waits for a human, and deciding over it."""

import argparse
import asyncio
import getpass
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf import json_format

from runtime.command.connection import add_options, connected, find_place
from runtime.command.exits import Exit
from runtime.command.text import harmless
from runtime.rpc import control_pb2 as pb

_STATES = {number: name.removeprefix("APPROVAL_STATE_").lower() for name, number in pb.ApprovalState.items() if number}


def add_parser(commands: Any) -> None:
    """The command's options."""
    approvals = commands.add_parser("approvals", help="calls that wait for a human: list, show, approve, deny, watch")
    actions = approvals.add_subparsers(required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="one line each, the oldest first")
    listing.add_argument("--all", action="store_true", help="decided ones, too")
    listing.add_argument("--execution", default="", metavar="ID", help="only of this execution")
    listing.set_defaults(main=_list)
    showing = actions.add_parser("show", help="all there is to know of one")
    showing.add_argument("id")
    showing.set_defaults(main=_show)
    for name, main, words in (("approve", _approve, "may be made"), ("deny", _deny, "is refused")):
        deciding = actions.add_parser(name, help=f"the call {words}; several ids: these, exactly as listed")
        deciding.add_argument("id", nargs="+", metavar="ID[@DIGEST]", help="with the digest that show told, or asks")
        deciding.add_argument("--approver", default="", help="who decides; default: your user name")
        needed = name == "deny"
        deciding.add_argument("--reason", default="", required=needed, help="why; the program is told it")
        if name == "approve":
            deciding.add_argument(
                "--edit", action="append", default=[], metavar="POINTER=JSON", help="narrow an argument: /amount=100"
            )
        deciding.set_defaults(main=main)
    watching = actions.add_parser("watch", help="one line for each that is open, and then as they come and go")
    watching.set_defaults(main=_watch)
    for each in (listing, showing, watching, *(actions.choices[name] for name in ("approve", "deny"))):
        each.add_argument("--json", action="store_true", help="as proto JSON, one object a line")
        add_options(each)


async def _list(arguments: argparse.Namespace) -> int:
    async with _client(arguments) as client:
        token, told = "", False
        while True:
            page = await client.approvals.page(
                everything=arguments.all, execution_id=arguments.execution, page_token=token
            )
            for approval in page.approvals:
                _print(approval, arguments)
            told = told or bool(page.approvals)
            token = page.next_page_token
            if not token:
                break
    if not told and not arguments.json:
        print(_nothing(arguments), file=sys.stderr)
    return Exit.SUCCESS


def _nothing(arguments: argparse.Namespace) -> str:
    of = f" of {arguments.execution}" if arguments.execution else ""
    if arguments.all:
        return harmless(f"lockgate: there are no approvals{of}")
    return harmless(f"lockgate: no call{of} waits for a decision; --all lists decided ones, too")


async def _show(arguments: argparse.Namespace) -> int:
    async with _client(arguments) as client:
        approval = await client.approvals.get(arguments.id)
    if arguments.json:
        _print(approval, arguments)
    else:
        print("\n".join(shown(approval)))
    return Exit.SUCCESS


async def _approve(arguments: argparse.Namespace) -> int:
    return await _decide(arguments, approve=True)


async def _deny(arguments: argparse.Namespace) -> int:
    return await _decide(arguments, approve=False)


async def _decide(arguments: argparse.Namespace, *, approve: bool) -> int:
    try:
        edits = dict(_edit(each) for each in getattr(arguments, "edit", []))
    except ValueError as error:
        print(f"lockgate: {error}", file=sys.stderr)
        return Exit.USAGE
    async with _client(arguments) as client:
        asked = [await client.approvals.get(each.partition("@")[0]) for each in arguments.id]
        for approval, given in zip(asked, arguments.id, strict=True):
            digest = given.partition("@")[2]
            if digest and not _is_digest(approval.digest, digest):
                print(f"lockgate: {approval.id} has the digest {approval.digest} now; show it again", file=sys.stderr)
                return Exit.REFUSED
        unseen = [approval for approval, given in zip(asked, arguments.id, strict=True) if "@" not in given]
        if approve and unseen and not await _confirmed(unseen):
            return Exit.REFUSED
        decided = await client.approvals.decide(
            asked,
            approve=approve,
            approver=arguments.approver or getpass.getuser(),
            reason=arguments.reason,
            edits=edits,
        )
    for approval in decided:
        _print(approval, arguments)
    return Exit.SUCCESS


async def _confirmed(asked: Sequence[pb.Approval]) -> bool:
    """Show what was not seen yet and ask; without a person to ask, the digests have to be given."""
    if not sys.stdin.isatty():
        print("lockgate: nobody to ask; write ID@DIGEST as `lockgate approvals show` tells it", file=sys.stderr)
        return False
    for approval in asked:
        print("\n".join(shown(approval)), end="\n\n")
    answer = await asyncio.to_thread(input, "Approve? Write yes: ")
    return answer.strip().lower() == "yes"


async def _watch(arguments: argparse.Namespace) -> int:
    async with _client(arguments) as client:
        async for approval in client.approvals.watch():
            _print(approval, arguments)
    return Exit.SUCCESS


def _client(arguments: argparse.Namespace) -> Any:
    place = find_place(config=arguments.config, server=arguments.server)
    return connected(place)


def _edit(text: str) -> tuple[str, Any]:
    path, equals, value = text.partition("=")
    try:
        parsed = json.loads(value) if path.startswith("/") and equals else None
    except ValueError:
        parsed = None
    if parsed is None:
        raise ValueError(f'--edit wants a JSON Pointer and JSON such as /amount=100, not "{text[:80]}"')
    return path, parsed


def _is_digest(digest: str, given: str) -> bool:
    """In full, or enough of its digits to be no accident."""
    digits = given.removeprefix("sha256:")
    return len(digits) >= _LEAST_DIGITS and digest.removeprefix("sha256:").startswith(digits)


_LEAST_DIGITS = 16


def _print(approval: pb.Approval, arguments: argparse.Namespace) -> None:
    if arguments.json:
        told = json_format.MessageToDict(approval, preserving_proto_field_name=True)
        print(json.dumps(told), flush=True)
    else:
        print(line(approval), flush=True)


def line(approval: pb.Approval) -> str:
    """One line: id, state, risk, tool, where it goes, who asked."""
    what = approval.tool or f"{approval.request.method} {approval.target}"
    asker = f"{approval.context.actor} for {approval.context.owner}"
    state = _STATES.get(approval.state, "unknown")
    return harmless(f"{approval.id}  {state}  risk {approval.risk}  {what}  asked by {asker}")


def shown(approval: pb.Approval) -> Iterator[str]:
    """All there is to show, in lines without anything that a terminal obeys."""
    request, context = approval.request, approval.context
    said = [f"{each.approver} {'approved' if each.approved else 'denied'}" for each in approval.decisions]
    yield line(approval)
    yield harmless(f"  digest    {approval.digest}")
    yield harmless(f"  does      {approval.words}")
    yield harmless(f"  sends     {request.method} {request.url}")
    yield from (harmless(f"            {header.name}: {header.value}") for header in request.headers)
    yield from (harmless(f"            {text}") for text in request.body.splitlines())
    if request.cut:
        yield "            ... (goes on)"
    yield "  arguments " + _indented(approval.arguments_json)
    yield harmless(f"  reason    {context.reason}")
    yield harmless(f"  rule      {approval.rule}: {approval.rule_reason} ({approval.profile})")
    yield f"  risk      {approval.risk} of 100"
    yield from (harmless(f"            {each.weight:>3} {each.reason}") for each in approval.risk_factors)
    undo = f"by {approval.rollback.tool}" if approval.HasField("rollback") else "no inverse is declared"
    yield harmless(f"  undone    {undo}")
    yield harmless(f"  approvers {', '.join(said) or 'none yet'} of {approval.approvers_needed} needed")
    yield f"  expires   {approval.expires_at.ToJsonString()}"
    yield harmless(f"  execution {approval.execution_id}, call {approval.call_number}")
    yield from (
        harmless(f"            {each.number} {each.target} {each.outcome}{' (reads)' if each.read_only else ''}")
        for each in approval.earlier_calls
    )
    if approval.end_reason:
        yield harmless(f"  ended     {approval.end_reason}")
    yield f"  program   {approval.language}{', cut' if approval.program_cut else ''}"
    yield from (
        harmless(f"   {'>' if each.marked else ' '} {each.number:>5} | {each.text}") for each in approval.program
    )


def _indented(text: str) -> str:
    """JSON over several lines, every character that is not plain escaped."""
    try:
        return json.dumps(json.loads(text), indent=2).replace("\n", "\n            ")
    except ValueError:
        return harmless(text)
