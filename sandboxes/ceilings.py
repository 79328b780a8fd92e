"""The most a request may ask for. A profile's limits are what it gets without asking."""

from typing import Any

from pydantic import ConfigDict, ValidationInfo

from sandboxes.limits import Limits


def _without_defaults(schema: dict[str, Any]) -> None:
    """A ceiling left out is its limit, whatever that is."""
    for member in schema["properties"].values():
        member.pop("default", None)


class Ceilings(Limits):
    """Limits up to which a request may go. Of a profile every field is set: what was left out is the limit itself."""

    model_config = ConfigDict(frozen=True, extra="forbid", json_schema_extra=_without_defaults)


def over_limits(ceilings: Ceilings, info: ValidationInfo) -> Ceilings:
    """A profile's ceilings, filled up from its limits. Raises ValueError for one below its limit."""
    limits: Limits | None = info.data.get("limits")
    if limits is None:
        return ceilings  # the limits have a problem of their own
    given = {name: getattr(ceilings, name) for name in ceilings.model_fields_set}
    for name, value in given.items():
        limit = getattr(limits, name)
        if value < limit:
            raise ValueError(f"{name} {value} is below its limit {limit}; a ceiling is at least the limit")
    if given.get("fuel") and not limits.fuel:
        raise ValueError("fuel is counted only where limits.fuel says so; set that as well")
    return Ceilings.model_validate({**limits.model_dump(), **given})
