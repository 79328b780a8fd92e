"""All tools of all upstreams at one moment. Immutable: a refresh makes a new one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType

from runtime.portal.near_names import NearNames
from runtime.portal.tool import SkippedTool, Tool


@dataclass(frozen=True, kw_only=True, repr=False)
class Catalog:
    """`generation` grows with every change, so that what was derived from a catalog knows its age."""

    generation: int = 0
    by_upstream: Mapping[str, tuple[Tool, ...]] = field(default_factory=dict)
    skipped: tuple[SkippedTool, ...] = ()

    def __repr__(self) -> str:
        return f"<Catalog {self.generation} with {len(self.tools)} tools>"

    @cached_property
    def tools(self) -> Mapping[str, Tool]:
        """Every tool by full name, in the order of upstreams and their tools."""
        return MappingProxyType({tool.full_name: tool for tools in self.by_upstream.values() for tool in tools})

    def find(self, full_name: str) -> Tool | None:
        """The tool of that name. None if there is none."""
        return self.tools.get(full_name)

    def find_original(self, name: str) -> Tool | None:
        """The tool an upstream itself calls so: `github.issues/list-for-repo`. None if there is not exactly one."""
        found = self._originals.get(name)
        return found[0] if found is not None and len(found) == 1 else None

    def with_upstream(self, name: str, tools: Iterable[Tool], skipped: Iterable[SkippedTool] = ()) -> "Catalog":
        """The next catalog, in which `name` has exactly these tools. Raises ValueError for a name used twice."""
        members = tuple(tools)
        names = [tool.name for tool in members]
        if len(set(names)) != len(names):
            raise ValueError(f'upstream "{name}" has two tools of one name')
        others = tuple(one for one in self.skipped if one.upstream != name)
        return Catalog(
            generation=self.generation + 1,
            by_upstream=MappingProxyType({**self.by_upstream, name: members}),
            skipped=(*others, *skipped),
        )

    def without_upstream(self, name: str) -> "Catalog":
        """The next catalog, in which `name` does not exist."""
        return Catalog(
            generation=self.generation + 1,
            by_upstream=MappingProxyType({key: value for key, value in self.by_upstream.items() if key != name}),
            skipped=tuple(one for one in self.skipped if one.upstream != name),
        )

    @cached_property
    def reads(self) -> "Catalog":
        """The same without the tools that are not known to only read."""
        kept = {name: tuple(tool for tool in tools if tool.read_only) for name, tools in self.by_upstream.items()}
        return Catalog(generation=self.generation, by_upstream=MappingProxyType(kept))

    def nearest(self, full_name: str, count: int = 3) -> list[str]:
        """The full names most like one that does not exist, best first."""
        return self.near_names.of(full_name, count)

    @cached_property
    def near_names(self) -> NearNames:
        """For 10,000 tools it takes a tenth of a second to make: ahead of need, and beside the event loop."""
        return NearNames(self.tools)

    @cached_property
    def _originals(self) -> dict[str, list[Tool]]:
        found: dict[str, list[Tool]] = {}
        for tool in self.tools.values():
            found.setdefault(f"{tool.upstream}.{tool.original}", []).append(tool)
        return found
