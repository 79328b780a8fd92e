"""Which tools a sandbox may call: patterns of names and the decision over them."""

import re
from fnmatch import fnmatchcase
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from sandboxes.decision import Decision

_PATTERN = re.compile(r"[A-Za-z0-9_*-]+\.[A-Za-z0-9_./:*-]+")
_MAX_LENGTH = 200
_MAX_STARS = 8


def _check_pattern(pattern: str) -> str:
    if len(pattern) > _MAX_LENGTH or pattern.count("*") > _MAX_STARS:
        raise ValueError(f"a pattern has at most {_MAX_LENGTH} characters and {_MAX_STARS} stars")
    if pattern == "*":
        raise ValueError('"*" leaves open what it means; write "*.*" for every tool of every upstream')
    if _PATTERN.fullmatch(pattern) is None:
        raise ValueError(f'expected "upstream.tool", either part with * for any run of characters, not "{pattern}"')
    return pattern


ToolPattern = Annotated[str, AfterValidator(_check_pattern)]


class ToolRules(BaseModel):
    """Which tools a program may call. Nothing is allowed that no pattern allows; `deny` wins over `allow`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    allow: tuple[ToolPattern, ...] = Field(
        (), max_length=500, description='Tools the program may call: "upstream.tool", * for any run of characters.'
    )
    deny: tuple[ToolPattern, ...] = Field(
        (), max_length=500, description="Tools it may not call, even where allow names them."
    )


def decide_tool(rules: ToolRules, name: str) -> Decision:
    """Whether `rules` allow the tool `name` (`upstream.tool`); `rule` is the pattern that decided."""
    upstream, dot, tool = name.partition(".")
    if not (upstream and dot and tool):
        return Decision(allowed=False, reason=f'"{name}" is not the name of a tool; expected "upstream.tool"')
    if (denied := _first_match(rules.deny, upstream, tool)) is not None:
        return Decision(allowed=False, reason=f"{name} is denied by tools.deny: {denied}", rule=denied)
    if (allowed := _first_match(rules.allow, upstream, tool)) is not None:
        return Decision(allowed=True, reason=f"{name} is allowed by tools.allow: {allowed}", rule=allowed)
    return Decision(allowed=False, reason=f"no pattern of tools.allow matches {name}")


def name_matches_any(patterns: tuple[str, ...], name: str) -> bool:
    """Whether one of the patterns names the tool `name` (`upstream.tool`)."""
    upstream, _, tool = name.partition(".")
    return _first_match(patterns, upstream, tool) is not None


def _first_match(patterns: tuple[str, ...], upstream: str, tool: str) -> str | None:
    """The parts are matched apart, so that a star never reaches over the first dot."""
    for pattern in patterns:
        upstream_pattern, _, tool_pattern = pattern.partition(".")
        if fnmatchcase(upstream, upstream_pattern) and fnmatchcase(tool, tool_pattern):
            return pattern
    return None
