"""What the MCP server needs of Lockgate: search, describe, execute. In-process over HTTP, a gRPC client over stdio."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

CATALOG_PROFILE: Final = "catalog"
"""The shipped profile of programs that look at the catalog for somebody."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Waiting:
    """A call that waits for a human. `words` says what it will do; `expires_at` is RFC 3339."""

    approval_id: str
    target: str
    words: str
    expires_at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """What the person at the client said of a call."""

    approved: bool
    reason: str = ""


type Ask = Callable[[Waiting], Awaitable[Said | None]]
"""Puts a question to the person at the client; None if they did not answer it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Requester:
    """Who asks: whom the bearer token proved (empty over stdio), and what the MCP client calls itself.

    `session` is the same for all requests of one MCP session, whose programs share a store; empty where there is none.
    `ask` is None where the client cannot put questions to a person.
    """

    principal: str = ""
    client: str = ""
    session: str = ""
    ask: Ask | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolHit:
    """One tool found. `signature` is what a program writes; `approval` as in sandboxes.tool_approval."""

    name: str
    signature: str
    purpose: str
    upstream: str
    read_only: bool
    deprecated: bool = False
    approval: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchReply:
    """`unmatched` are words no tool has; `unavailable` says which upstreams are missing from the catalog, and why."""

    tools: tuple[ToolHit, ...]
    total: int
    unmatched: tuple[str, ...] = ()
    cursor: str | None = None
    unavailable: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class DescribeReply:
    """Declarations as text, what did not fit, and names that mean nothing."""

    text: str
    left_out: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    """Declarations to be told at once, empty for none; `complete` if no search is needed beside them.

    `approvals`: tools by name whose calls may not all leave at once, each as in sandboxes.tool_approval.
    """

    text: str = ""
    complete: bool = False
    approvals: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalLog:
    """A line a program wrote. `level` is debug, info, warning or error."""

    number: int
    level: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CallLine:
    """One host call of a program: what, and how it ended (`ok` or an error code)."""

    target: str
    outcome: str
    read_only: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class CallFailure:
    """How the call failed that a program did not catch. `retry_after_s` is 0 where nobody said."""

    code: str
    tool: str = ""
    http_status: int = 0
    retryable: bool = False
    retry_after_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class PortalFile:
    """A file a program gave with `emit`."""

    name: str
    type: str
    data: bytes
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """What a result does not show: `places` in words, `handle` empty if the whole is not kept."""

    handle: str
    total_bytes: int
    places: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgramError:
    """Why a program did not finish. Line and column count from 1, 0 where not known."""

    name: str
    message: str
    line: int = 0
    column: int = 0
    source_line: str = ""
    stack: str = ""
    limit: str = ""
    limit_value: int = 0
    call: CallFailure | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecuteReply:
    """`status` is "succeeded" exactly when the program finished; then `result` is JSON.

    `waiting`: what a paused one waits for.
    """

    execution_id: str
    status: str
    result: Any = None
    error: ProgramError | None = None
    logs: tuple[PortalLog, ...] = ()
    logs_dropped: int = 0
    calls: tuple[CallLine, ...] = ()
    files: tuple[PortalFile, ...] = ()
    left_out: LeftOut | None = None
    waiting: tuple[Waiting, ...] = ()


class BadRequestError(ValueError):
    """A request that was refused before anything ran; its text is for the model."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CallNote:
    """A host call that began, is as far as `progress` says, or ended with `outcome` (`ok` or an error code)."""

    number: int
    target: str
    outcome: str = ""
    progress: str = ""


type OnLog = Callable[[PortalLog], Awaitable[None]]
type OnCall = Callable[[CallNote], Awaitable[None]]


class PortalFace(Protocol):
    """The functions behind the pair. Each raises BadRequestError for what it refuses."""

    async def search(
        self, query: str, limit: int, cursor: str | None, language: str, requester: Requester
    ) -> SearchReply:
        """Ranked tools, their signatures in `language`: javascript or python."""
        ...

    async def describe(self, names: Sequence[str], language: str, requester: Requester) -> DescribeReply:
        """Declarations of tools and types; `language` is javascript or python."""
        ...

    async def overview(self) -> Overview:
        """What a model is told of the catalog before it asks."""
        ...

    async def execute(  # noqa: PLR0913, PLR0917 - a request
        self,
        code: str,
        language: str | None,
        inputs: Any,
        profile: str | None,
        on_log: OnLog,
        on_call: OnCall,
        requester: Requester,
    ) -> ExecuteReply:
        """Run a program to its end, or until it waits for a human. Cancelling the call cancels the program."""
        ...

    async def resume(self, execution_id: str, requester: Requester) -> ExecuteReply:
        """The result of a program that was paused, once it has one; it may still be paused, or running."""
        ...
