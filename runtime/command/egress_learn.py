"""`lockgate egress learn`: a profile for what a run in mode report did, from the egress proxy's record."""

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from runtime.command.connection import Place, find_place
from runtime.command.egress_log import kept_lines
from runtime.command.egress_rules import profile_named
from runtime.command.exits import Exit
from sandboxes.egress_event import read_event
from sandboxes.egress_learning import LEAST, Learned, learn
from sandboxes.profile import Profile
from sandboxes.profile_file import load_profiles

Record = Mapping[str, Any]


def add_parser(commands: Any) -> None:
    """The command's options."""
    parser = commands.add_parser("learn", help="propose a profile from what mode report let go")
    parser.add_argument("--profile", help="the one that ran; default: the one whose rules the record names")
    parser.add_argument("--execution", help="only what this execution did")
    parser.add_argument("--events", type=Path, help="the record; default: egress.jsonl of the state directory")
    parser.add_argument(
        "--least", type=_least, default=LEAST, metavar="N",
        help=f"values that a path's segment must have had to become *; 0: never; default: {LEAST}",
    )  # fmt: skip
    parser.add_argument("--config", help="lockgate.yaml to use")
    parser.set_defaults(main=_learn)


def _least(text: str) -> int:
    if not (text.isascii() and text.isdigit() and (int(text) == 0 or 2 <= int(text) <= 1_000)):  # noqa: PLR2004
        raise argparse.ArgumentTypeError(f"{text} is neither 0 nor a number from 2 to 1000")
    return int(text)


async def _learn(arguments: argparse.Namespace) -> int:
    place = find_place(config=arguments.config, server=None)
    records = [
        record
        for line in kept_lines(arguments.events or place.state.event_file)
        if (record := read_event(line)) is not None and arguments.execution in {None, record.get("execution")}
    ]
    try:
        profile = _profile(place, arguments.profile, records)
    except (ValueError, LookupError) as error:
        print(f"lockgate: {error}", file=sys.stderr)
        return Exit.REFUSED
    mine = [record for record in records if record.get("rules") == profile.egress.digest()]
    let_go = [record for record in mine if record.get("would_deny")]
    learned = learn(let_go, least=arguments.least, taken=[rule.name for rule in profile.egress.rules])
    print(_proposal(profile, learned, len(let_go)), end="")
    _tell(profile, learned, {record.get("rule") for record in mine})
    return Exit.SUCCESS


def _profile(place: Place, name: str | None, records: Iterable[Record]) -> Profile:
    """The one that ran. Raises LookupError, ProfileError."""
    reported = {str(record.get("rules")) for record in records if record.get("would_deny")}
    if name is not None:
        profile = profile_named(place, name)
        if profile.egress.digest() not in reported:
            raise LookupError(f"under the rules of profile {name}, as they are now, mode report let nothing go")
        return profile
    store = load_profiles([Path(directory) for directory in place.config.profiles])
    found = [profile for profile in store.profiles.values() if profile.egress.digest() in reported]
    if len(found) != 1:
        names = ", ".join(sorted(profile.name for profile in found)) or "no profile as it is now"
        raise LookupError(f"the record has requests that mode report let go under {names}; name one with --profile")
    return found[0]


def _proposal(profile: Profile, learned: Learned, requests: int) -> str:
    """The profile with the learned rules after its own, in mode enforce."""
    head = profile.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude={"egress", "version"})
    own = [rule.model_dump(mode="json", by_alias=True, exclude_defaults=True) for rule in profile.egress.rules]
    document = {
        "name": head.pop("name"),
        "version": profile.version + 1,
        **head,
        "egress": {"mode": "enforce", "rules": [*own, *learned.rules]},
    }
    text = yaml.safe_dump(document, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110)
    return f"# Proposed from {requests} requests that mode report let go. Read it before you use it.\n{text}"


def _tell(profile: Profile, learned: Learned, used: set[Any]) -> None:
    for note in learned.notes:
        print(f"lockgate: {note}", file=sys.stderr)
    unused = [rule.name for rule in profile.egress.rules if rule.name not in used]
    if unused:
        print(f"lockgate: rules that nothing used: {', '.join(unused)}", file=sys.stderr)
