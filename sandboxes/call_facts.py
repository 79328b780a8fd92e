"""What is known of a host call before it leaves: the facts that rules about approvals look at."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .environment import Environment

CallKind = Literal["tool", "fetch"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Effect:
    """What a call does outside, as far as its upstream declares. Nothing said means the worse.

    `destructive`: may remove or overwrite; `idempotent`: done twice, it is done once; `open_world`: reaches beyond one
    known system.
    """

    read_only: bool = False
    destructive: bool = True
    idempotent: bool = False
    open_world: bool = True


READS = Effect(read_only=True, destructive=False, idempotent=True, open_world=False)


def effect_of_method(method: str, *, open_world: bool) -> Effect:
    """What an HTTP method, in capitals, says of a request (RFC 9110, 9.2)."""
    return Effect(
        read_only=method in {"GET", "HEAD", "OPTIONS"},
        destructive=method == "DELETE",
        idempotent=method in {"GET", "HEAD", "OPTIONS", "PUT", "DELETE"},
        open_world=open_world,
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFacts:
    """`tool` is the full name, empty for a fetch; `method` the HTTP method, empty where there is none.

    `arguments` is one JSON object: the tool's arguments, or a fetch's url, method, headers and body. `earlier_writes`
    counts the execution's calls before this one that may have changed something; `undoable`: the tool has an inverse.
    """

    kind: CallKind
    tool: str = ""
    method: str = ""
    effect: Effect = field(default_factory=Effect)
    environment: Environment
    arguments: Mapping[str, Any] = field(default_factory=dict)
    earlier_writes: int = 0
    undoable: bool = False
