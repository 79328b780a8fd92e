"""Whose egress rules a command is about: a profile by name or file, or an upstream."""

import argparse
from pathlib import Path

from runtime.command.connection import Place
from sandboxes.profile import Profile
from sandboxes.profile_file import load_profile, load_profiles
from sandboxes.rule_set import RuleSet


def profile_named(place: Place, name: str) -> Profile:
    """The profile in the file `name`, or the one that is called so. Raises ProfileError, LookupError."""
    if Path(name).suffix in {".yaml", ".yml"}:
        return load_profile(Path(name))
    return load_profiles([Path(directory) for directory in place.config.profiles]).get(name)


def rules_named(place: Place, arguments: argparse.Namespace) -> tuple[str, RuleSet]:
    """What `--profile` or `--upstream` says, in words and as rules. Raises ProfileError, LookupError."""
    if arguments.upstream is None:
        profile = profile_named(place, arguments.profile)
        return f"profile {profile.name}", profile.egress
    upstream = place.config.upstreams.get(arguments.upstream)
    if upstream is None:
        known = ", ".join(sorted(place.config.upstreams)) or "none"
        raise LookupError(f'there is no upstream "{arguments.upstream}" (upstreams: {known})')
    return f"upstream {arguments.upstream}", upstream.rule_set(arguments.upstream)
