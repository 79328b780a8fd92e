"""The walls around a worker process, by name: what a profile can demand and what every report speaks of."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

from sandboxes.decision import Decision

Wall = Literal[
    "environment", "descriptors", "network", "files", "resources", "privileges", "untraceable", "system_calls"
]
WALLS: Final[tuple[Wall, ...]] = get_args(Wall)

UP: Final = "up"
"""What a report says of a wall that stands; anything else is the reason why it does not."""


def missing_walls(report: Mapping[str, str]) -> dict[Wall, str]:
    """The walls that do not stand and why. One that the report leaves out does not stand."""
    told = {wall: report.get(wall, "not reported") for wall in WALLS}
    return {wall: reason for wall, reason in told.items() if reason != UP}


def lockdown_suffices(required: Iterable[Wall], report: Mapping[str, str]) -> Decision:
    """Whether every wall that a profile's `require_lockdown` names stands."""
    missing = missing_walls(report)
    lacking = [f"{wall} ({missing[wall]})" for wall in required if wall in missing]
    if lacking:
        reason = f"require_lockdown names walls that do not stand on this machine: {', '.join(lacking)}"
        return Decision(allowed=False, reason=reason, rule="require_lockdown")
    return Decision(allowed=True, reason="every wall that require_lockdown names stands", rule="require_lockdown")
