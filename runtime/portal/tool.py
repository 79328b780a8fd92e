"""One tool of the catalog: what a program may call, with the types of what goes in and comes out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.execution.literal_request import Inverse
from runtime.portal.observed import Observation
from runtime.portal.schema import Shape
from sandboxes.call_facts import READS, Effect


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Tool:
    """`upstream` and `name` are identifiers; `original` is what the upstream itself calls it.

    `summary` is one line, `description` all there is. `input` describes one JSON object, the arguments, by
    the names programs use; `renamed` maps those that differ to the upstream's own. `output` is None where
    the upstream declares nothing; `observed` then has what answers looked like. `binding` is for the
    upstream's kind alone. `keywords` help the search. `declared` is what
    the upstream says of a tool that does more than read. `inverse` is what undoes a call of it, as the client
    that offers it declares; what lockgate.yaml declares of an upstream's tools is kept there.
    """

    upstream: str
    name: str
    original: str
    summary: str
    description: str
    input: Shape
    output: Shape | None
    read_only: bool
    deprecated: bool = False
    keywords: tuple[str, ...] = ()
    renamed: dict[str, str] = field(default_factory=dict)
    binding: Any = None
    observed: Observation = field(default_factory=Observation)
    declared: Effect = field(default_factory=Effect)
    inverse: Inverse | None = None

    @property
    def full_name(self) -> str:
        """`upstream.name`, unique in the catalog."""
        return f"{self.upstream}.{self.name}"

    @property
    def effect(self) -> Effect:
        """What a call of it does outside."""
        return READS if self.read_only else self.declared


@dataclass(frozen=True, kw_only=True, slots=True)
class SkippedTool:
    """Something an upstream offers that is not in the catalog, and why. `original` is what it calls itself."""

    upstream: str
    original: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolReply:
    """A call's good end: `value` is JSON for the program.

    `headers`, `links` (by relation), `related` (tools and arguments by the name of a link that the upstream's document
    declares) and `next` (the arguments of the next page, None on the last) are for a program that asks for the whole
    response, the rest is for the record.
    """

    value: Any
    headers: Mapping[str, str] = field(default_factory=dict)
    links: Mapping[str, str] = field(default_factory=dict)
    related: Mapping[str, Any] = field(default_factory=dict)
    next: Mapping[str, Any] | None = None
    http_status: int = 0
    bytes_in: int = 0
    egress: str = ""
    credential: str = ""


def one_line(text: str, limit: int = 120) -> str:
    """The first sentence or line of a text, printable and at most `limit` characters."""
    printable = "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)
    lines = (" ".join(line.split()) for line in printable.strip().splitlines())
    first = next((line for line in lines if line), "")
    sentence = first.split(". ", 1)[0]
    return sentence if len(sentence) <= limit else f"{sentence[: limit - 3].rstrip()}..."
