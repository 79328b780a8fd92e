"""What an enclosed child is told and tells: how it is connected, which walls stand, where its relay listens."""

from enum import StrEnum
from typing import Final

type Report = dict[str, str]
"""Wall (network, privileges, neighbours, capabilities) to UP or to the reason it does not stand."""

UP: Final = "up"
RELAY: Final = ("127.0.0.1", 3128)
"""In a namespace of its own nothing else listens, so the port can be known beforehand."""


class Network(StrEnum):
    """How a child is connected."""

    PROXY = "proxy"
    NONE = "none"
    HOST = "host"


def describe(report: Report) -> str:
    """One line for people."""
    missing = [f"{wall} ({reason})" for wall, reason in report.items() if reason != UP]
    return f"without walls: {', '.join(missing)}" if missing else "every wall stands"
