"""`lockgate egress log`: what met the egress proxy, from its record."""

import argparse
import asyncio
import os
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any, Final

from runtime.command.connection import find_place
from runtime.command.exits import Exit
from sandboxes.egress_event import read_event

_POLL_S: Final = 0.2

type Wanted = Callable[[Mapping[str, Any]], bool]


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("log", help="show what met the egress proxy")
    parser.add_argument("--execution", help="only this execution's")
    parser.add_argument("--refused", action="store_true", help="only what was refused or failed")
    parser.add_argument("--last", type=int, default=100, metavar="N", help="the last N; default: 100")
    parser.add_argument("--follow", action="store_true", help="and what comes, until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="the lines as they are, OCSF")
    parser.set_defaults(main=_log)


async def _log(arguments: argparse.Namespace) -> int:
    file = find_place(config=None, server=None).state.event_file
    show: Callable[[str], None] = _raw if arguments.json else _row
    wanted = _wanted(arguments)
    for line in deque((line for line in kept_lines(file) if _matches(line, wanted)), maxlen=max(arguments.last, 0)):
        show(line)
    if arguments.follow:
        async for line in _coming(file):
            if _matches(line, wanted):
                show(line)
    return Exit.SUCCESS


def _wanted(arguments: argparse.Namespace) -> Wanted:
    def wanted(record: Mapping[str, Any]) -> bool:
        if arguments.execution is not None and record.get("execution") != arguments.execution:
            return False
        return not arguments.refused or record.get("code") != "allowed"

    return wanted


def _matches(line: str, wanted: Wanted) -> bool:
    record = read_event(line)
    return record is not None and wanted(record)


def kept_lines(file: Path) -> Iterator[str]:
    """Every line, the oldest file first."""
    numbered = sorted(
        (found for found in file.parent.glob(f"{file.name}.*") if found.suffix[1:].isdigit()),
        key=lambda found: -int(found.suffix[1:]),
    )
    for each in (*numbered, file):
        try:
            with each.open(encoding="utf-8", errors="replace") as opened:
                yield from opened
        except FileNotFoundError:
            continue


async def _coming(file: Path) -> AsyncIterator[str]:
    """Lines written from now on, into the file that bears the name then."""
    opened = _opened(file)
    if opened is not None:
        opened.seek(0, os.SEEK_END)
    begun = ""
    while True:
        begun += opened.readline() if opened is not None else ""
        if begun.endswith("\n"):
            yield begun
            begun = ""
            continue
        if begun == "" and (opened is None or _replaced(opened, file)):
            opened = _opened(file) or opened
        await asyncio.sleep(_POLL_S)


def _opened(file: Path) -> IO[str] | None:
    try:
        return file.open(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None


def _replaced(opened: IO[str], file: Path) -> bool:
    try:
        return os.fstat(opened.fileno()).st_ino != file.stat().st_ino
    except FileNotFoundError:
        return False


def _raw(line: str) -> None:
    sys.stdout.write(line)
    sys.stdout.flush()


def _row(line: str) -> None:
    record = read_event(line)
    assert record is not None
    if record["event"] != "egress":
        print(f"{record['time']}  FAULT    {record.get('hook')}: {record.get('error')}", flush=True)
        return
    verdict = "allowed" if record["allowed"] else "REFUSED"
    where = f"{record['scheme'] or ''}://{record['host']}:{record['port']}{record['path'] or ''}".removeprefix("://")
    said = f"{record['status'] or '-'} {record['duration_ms']:.0f} ms  {record['execution'] or '-'}  {record['reason']}"
    print(_harmless(f"{record['time']}  {verdict}  {record['method']} {where}  {said}"), flush=True)


def _harmless(text: str) -> str:
    """For a terminal: what a program asked for may hold control characters, which could rewrite what stands there."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
