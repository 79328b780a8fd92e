"""What a program's call to the outside is, and how it fails."""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from sandboxes.approval_rule import ApprovalRules
from sandboxes.environment import Environment
from sandboxes.limits import Limits
from sandboxes.tools import ToolRules

Code = Literal[
    "not_found",
    "invalid_argument",
    "denied",
    "upstream_error",
    "unavailable",
    "timeout",
    "limit",
    "cancelled",
    "outcome_unknown",
    "internal",
]


class HostCallError(Exception):
    """A host call that failed in a way the program is told of and can catch.

    `status` is the upstream's HTTP status where there was one; `retryable` says that the same call
    may succeed later, `retry_after` in how many seconds if the upstream said; `details` is JSON for
    the program (an upstream's parsed error body, say); `egress` is for the record: what the egress
    proxy said.
    """

    def __init__(  # noqa: PLR0913 - these are the fields of the error a program sees
        self,
        code: Code,
        message: str,
        *,
        status: int | None = None,
        retryable: bool = False,
        tool: str | None = None,
        details: Any = None,
        egress: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code: Code = code
        self.message = message
        self.status = status
        self.retryable = retryable
        self.tool = tool
        self.details = details
        self.egress = egress
        self.retry_after = retry_after

    def to_json(self) -> dict[str, Any]:
        """The error object of the guest interface; `retry_after` is there only where it is known."""
        fields = {
            "code": self.code,
            "message": self.message,
            "status": self.status,
            "retryable": self.retryable,
            "tool": self.tool,
            "details": self.details,
        }
        return fields if self.retry_after is None else {**fields, "retry_after": self.retry_after}


current_call_edits: ContextVar[tuple[str, ...]] = ContextVar("current_call_edits", default=())
"""How an approver narrowed the arguments of the call under way, in words."""

current_call_key: ContextVar[str] = ContextVar("current_call_key", default="")
"""What an upstream knows the host call by that is being made, however often it is sent; empty for none."""

type Emit = Callable[[str, str, bytes, str], None]


type Progress = Callable[[float, float, str], None]


def _progress_nowhere(*_: object) -> None:
    """Nobody is told how far a call is."""


def _emit_nowhere(*_: object) -> None:
    raise HostCallError("unavailable", "emit: nobody takes files here")


@dataclass(frozen=True, kw_only=True, slots=True)
class CallContext:
    """On whose behalf a host call is made, and within which bounds.

    `token` turns the digest of an egress rule set into a short-lived execution token;
    `deadline` is on the monotonic clock, in seconds; `language` is the one to explain things in; `session` is the id of
    the stream whose client offers functions of its own, empty for none. `tenant` is whose results and stores a program
    may use, `store` the session whose store it has, empty for none, within `limits`; `emit` takes a file's name, media
    type, bytes and SHA-256, or raises HostCallError. `progress` takes how much of this call is done, of how
    much (0 if that is not known), and words of the upstream. `catalog_profile` is the profile that the catalog's
    approvals are told of, empty for that of `tools` and `approvals`.
    """

    execution_id: str
    actor: str
    environment: Environment
    token: Callable[[str], str]
    deadline: float
    max_response_bytes: int
    tools: ToolRules = field(default_factory=ToolRules)
    approvals: ApprovalRules = field(default_factory=ApprovalRules)
    catalog_profile: str = ""
    language: Literal["javascript", "python"] = "javascript"
    session: str = ""
    tenant: str = ""
    store: str = ""
    limits: Limits = field(default_factory=Limits)
    emit: Emit = _emit_nowhere
    read_only: bool = False
    progress: Progress = _progress_nowhere
