"""What every kind of upstream does: keep itself alive in a task of its own, and answer calls."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from runtime.execution.hostcall import CallContext
from runtime.execution.literal_request import Preview
from runtime.portal.tool import SkippedTool, Tool, ToolReply
from runtime.portal.upstream_state import UpstreamState


class Publish(Protocol):
    """Where an upstream says what it is and has. None leaves the tools as they were."""

    def __call__(
        self,
        name: str,
        state: UpstreamState,
        tools: tuple[Tool, ...] | None = None,
        skipped: tuple[SkippedTool, ...] = (),
    ) -> None:
        """Publish a state, and tools where they changed."""


class Upstream(Protocol):
    """One declared upstream."""

    name: str

    async def run(self, publish: Publish) -> None:
        """Keep going until cancelled; whatever happens is published, not raised."""

    async def call(self, tool: Tool, arguments: Any, context: CallContext) -> ToolReply:
        """Call a tool of this upstream. Raises HostCallError."""
        ...

    def repeatable(self, tool: Tool) -> bool:
        """Whether a call made twice, known by the same key, has its effect once."""
        ...

    def preview(self, tool: Tool, arguments: Any, context: CallContext) -> Preview:
        """What `call` would send. Raises HostCallError for arguments that it would not send."""
        ...


# Makes an egress token for what the gateway does itself under a rule set: (purpose, digest) to token.
type ServiceToken = Callable[[str, str], str]


def earliest(context: CallContext, timeout_s: float) -> float:
    """The deadline of a call, monotonic seconds: the execution's or the upstream's own, whichever is first."""
    return min(context.deadline, time.monotonic() + timeout_s)
