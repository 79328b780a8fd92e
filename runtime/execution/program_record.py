"""A program as it is kept in the store, and read from there again."""

import json
from dataclasses import asdict, fields
from typing import Any

from runtime.execution.caller import Caller
from runtime.execution.execution import Program
from sandboxes.limits import Limits
from sandboxes.profile import Profile

_APART = frozenset({"profile", "limits", "caller"})


def program_json(program: Program) -> str:
    """All of an accepted request but its profile, which is kept by its digest."""
    plain = {field.name: getattr(program, field.name) for field in fields(program) if field.name not in _APART}
    plain["limit_sources"] = dict(program.limit_sources)
    return json.dumps({**plain, "limits": program.limits.model_dump(), "caller": asdict(program.caller)})


def program_from(text: str, profile: Profile) -> Program:
    """The inverse of `program_json`. Raises ValueError for a record of another kind.

    What a later version added is as if nobody had asked for it.
    """
    try:
        record: dict[str, Any] = json.loads(text)
        limits = Limits.model_validate(record.pop("limits"))
        caller = Caller(**record.pop("caller"))
        return Program(profile=profile, limits=limits, caller=caller, **record)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this is not the record of a program: {error}") from error
