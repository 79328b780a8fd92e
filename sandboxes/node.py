"""A value of a YAML file that remembers its place."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sandboxes.problem import Mark


@dataclass(frozen=True, kw_only=True, slots=True)
class Node:
    """A value and its place.

    `keys` has the place of each key of a mapping; `size` counts the nodes from here down, `height` their levels.
    """

    value: "str | int | float | bool | list[Node] | dict[str, Node] | None"
    mark: Mark
    keys: Mapping[str, Mark] = field(default_factory=dict)
    size: int = 1
    height: int = 1

    def plain(self) -> Any:
        """The value as JSON would hold it."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value
