"""`lockgate run`: one program, its logs to standard error, its result to standard output."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from runtime.client import Client, execute_request, local_context
from runtime.command.connection import add_options, connected, find_place
from runtime.command.exits import Exit, exit_of
from runtime.rpc import runtime_pb2 as pb

_LEVELS = {1: "debug", 2: "", 3: "warning", 4: "error"}
_ENDINGS = {".js": "javascript", ".mjs": "javascript", ".ts": "typescript", ".mts": "typescript", ".py": "python"}


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("run", help="run a program and print its result as JSON")
    parser.add_argument("file", help='the program; "-" reads standard input')
    languages = ["javascript", "typescript", "python"]
    parser.add_argument("--language", choices=languages, default="", help="otherwise detected")
    parser.add_argument("--profile", default="standard", help="default: standard")
    parser.add_argument("--inputs", default="", help="the program's inputs: JSON, or @FILE")
    parser.add_argument("--environment", choices=["dev", "stage", "prod"], default="dev")
    parser.add_argument("--reason", default="", help="why it runs, for the record")
    parser.add_argument(
        "--session-id", metavar="NAME", help="use the store, and where the profile keeps them the globals, of a session"
    )
    parser.add_argument("--dry-run", action="store_true", help="make calls that read, print the others with --json")
    parser.add_argument("--rollback", action="store_true", help="if it fails, undo what it did, where that is declared")
    parser.add_argument("--json", action="store_true", help="print the whole reply as proto JSON")
    add_options(parser, embedded=True)
    parser.set_defaults(main=run)


async def run(arguments: argparse.Namespace) -> int:
    """Run it; the exit status tells how it ended."""
    try:
        request = _request(arguments)
    except ValueError as error:
        print(f"lockgate: {error}", file=sys.stderr)
        return Exit.USAGE
    place = find_place(config=arguments.config, server=arguments.server, embedded=arguments.embedded)
    async with connected(place) as client:
        execution = await _follow(client, request)
    if arguments.json:
        reply = pb.ExecuteResponse(execution=execution)
        print(json_format.MessageToJson(reply, preserving_proto_field_name=True))
    elif execution.status == pb.STATUS_SUCCEEDED:
        print(execution.result_json)
    else:
        print(_explain(execution), file=sys.stderr)
    return exit_of(execution.status)


def _request(arguments: argparse.Namespace) -> pb.ExecuteRequest:
    if arguments.session_id == "":  # an unset variable of a script, say
        raise ValueError("--session-id is empty; leave it out for a program without a session")
    code = _read_program(arguments.file)
    language = arguments.language or _by_ending(arguments.file)
    reason = arguments.reason or f"lockgate run {arguments.file}"
    request = execute_request(
        code,
        profile=arguments.profile,
        context=local_context(reason, arguments.environment),
        language=language,
        session_id=arguments.session_id or "",
        dry_run=arguments.dry_run,
        rollback=arguments.rollback,
    )
    request.inputs_json = _read_inputs(arguments.inputs)
    return request


def _read_program(name: str) -> str:
    if name == "-":
        return _text(sys.stdin.buffer.read(), "standard input")
    return _read_file(name)


def _read_file(name: str) -> str:
    """Raises ValueError that names the file."""
    try:
        return _text(Path(name).read_bytes(), name)
    except OSError as error:
        raise ValueError(f"cannot read {name}: {error.strerror}") from None


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8: byte {data[error.start]:#04x} at offset {error.start}") from None


def _by_ending(name: str) -> Any:
    return _ENDINGS.get(Path(name).suffix, "")


def _read_inputs(text: str) -> str:
    name = "--inputs"
    if text.startswith("@"):
        name = text[1:]
        text = _read_file(name)
    if text:
        try:
            json.loads(text)
        except ValueError as error:
            raise ValueError(f"{name} is not JSON: {error}") from None
    return text


async def _follow(client: Client, request: pb.ExecuteRequest) -> pb.Execution:
    logs: list[pb.LogLine] = []
    async for event in client.stream(request):
        if event.HasField("log"):
            logs.append(event.log)
            level = _LEVELS.get(event.log.level, "")
            text = _harmless(event.log.text)
            print(f"[{level}] {text}" if level else text, file=sys.stderr, flush=True)
        elif event.HasField("paused"):
            for each in event.paused.approvals:
                shown = f"lockgate approvals show {each.approval_id}"
                print(_harmless(f"lockgate: {each.target} waits for approval: {shown}"), file=sys.stderr, flush=True)
        elif event.HasField("finished"):
            execution = event.finished
            execution.logs.extend(logs)
            return execution
    raise RuntimeError("the stream ended before the execution did")


def _harmless(text: str) -> str:
    """A program's text for a terminal: without control characters, which could rewrite what stands there."""
    return "".join(c if c.isprintable() or c in "\t\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _explain(execution: pb.Execution) -> str:
    error = execution.error
    where = f" (line {error.line}, column {error.column})" if error.line else ""
    lines = [f"lockgate: {error.name}: {error.message}{where}"]
    if error.source_line:
        lines.append(f"    {error.source_line}")
        if error.column:
            lines.append("    " + " " * (error.column - 1) + "^")
    for step in execution.rollback:
        undo = f" by {step.tool}" if step.tool else ""
        lines.append(f"lockgate: call {step.call_number} {step.target}: {step.outcome}{undo} {step.reason}".rstrip())
    if error.side_effects_possible:
        lines.append("lockgate: host calls that may have changed something had been made")
    return _harmless("\n".join(lines))
