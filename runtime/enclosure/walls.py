"""What an enclosed child is told and tells: how it is connected, which walls stand, where its relay listens."""

from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Surroundings:
    """How a child that runs is connected, and which walls it has. Its text is one line for people."""

    network: Network
    walls: Report

    @property
    def missing(self) -> Report:
        """The walls that do not stand, and why."""
        return {wall: reason for wall, reason in self.walls.items() if reason != UP}

    def __str__(self) -> str:
        missing = [f"{wall} ({reason})" for wall, reason in self.missing.items()]
        return f"network: {self.network}; {f'without walls: {", ".join(missing)}' if missing else 'every wall stands'}"
