"""`lockgate egress explain URL`: what would happen to a request, and why. Asks nobody, sends nothing."""

import argparse
import sys
from pathlib import Path
from typing import Any

from runtime.command.connection import find_place
from runtime.command.egress_rules import rules_named
from runtime.command.exits import Exit
from sandboxes.asked_url import facts_of_url
from sandboxes.egress_explanation import explain
from sandboxes.environment import ENVIRONMENTS


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("explain", help="say what would happen to a request, and why")
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--method", default="GET", help="default: GET")
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--profile", default="standard", help="a profile, or a file with one; default: standard")
    whose.add_argument("--upstream", help="an upstream of lockgate.yaml instead")
    parser.add_argument("--environment", choices=ENVIRONMENTS, default="dev", help="where mode report may apply")
    parser.add_argument("--header", action="append", default=[], type=_header, metavar="'NAME: VALUE'")
    body = parser.add_mutually_exclusive_group()
    body.add_argument("--body", help="the body's text")
    body.add_argument("--body-file", type=Path, help="a file with the body")
    parser.add_argument("--config", help="lockgate.yaml to use")
    parser.set_defaults(main=_explain)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise argparse.ArgumentTypeError(f'"{text}" is not a header; write it like "accept: text/html"')
    return name.strip().lower(), value.strip()


async def _explain(arguments: argparse.Namespace) -> int:
    place = find_place(config=arguments.config, server=None)
    try:
        whose, rules = rules_named(place, arguments)
        request = facts_of_url(arguments.method, arguments.url, arguments.header, _body(arguments))
    except (ValueError, LookupError, OSError) as error:
        print(f"lockgate: {error}", file=sys.stderr)
        return Exit.REFUSED
    told = place.config
    leaves, lines = explain(
        rules, request, environment=arguments.environment, hosts=told.hosts, services=told.private_services
    )
    print(f"{request.method} {arguments.url} under {whose}, mode {rules.mode}")
    print("\n".join(lines))
    return Exit.SUCCESS if leaves else Exit.REFUSED


def _body(arguments: argparse.Namespace) -> bytes | None:
    """What is known of the body: with a method that usually has one and neither option, nothing."""
    if arguments.body is not None:
        return str(arguments.body).encode()
    if arguments.body_file is not None:
        return bytes(arguments.body_file.read_bytes())
    return None if arguments.method in {"POST", "PUT", "PATCH"} else b""
