"""What is shown to the one who decides over a call, and kept with the decision. Secrets are out of it by then."""

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

MOST_EARLIER: Final = 100
MOST_BODY: Final = 64 << 10
"""Characters of a request's body that are shown; the arguments it was made of are shown in full."""


class _Shown(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ShownLine(_Shown):
    """A line of the program. `marked`: the tool's name is in it."""

    number: int
    text: str
    marked: bool = False


class ShownCall(_Shown):
    """An earlier call of the execution."""

    number: int
    target: str
    outcome: str
    read_only: bool


class ShownFactor(_Shown):
    """A reason for the risk score, and what it adds."""

    weight: int
    reason: str


class ShownRequest(_Shown):
    """What will be sent: see LiteralRequest. `cut`: the body goes on."""

    protocol: Literal["http", "mcp", "client"]
    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    base64: bool = False
    cut: bool = False


class ShownInverse(_Shown):
    """The call that would undo it: see Inverse."""

    tool: str
    arguments: dict[str, str] = {}


class ApprovalRequest(_Shown):
    """One question to a human. `tool` is empty for a fetch; `arguments` and `request` are without secrets.

    `binding` has the digests a decision depends on beside what is shown: the tool's declaration and the policy.
    """

    actor: str
    owner: str
    principal: str
    environment: str
    reason: str
    execution: str
    call: int
    kind: Literal["tool", "fetch"]
    tool: str
    words: str
    arguments: dict[str, Any]
    request: ShownRequest
    target: str
    profile: str
    binding: dict[str, str]
    rule: str
    rule_reason: str
    risk: int
    factors: tuple[ShownFactor, ...] = ()
    language: str
    program: tuple[ShownLine, ...] = ()
    program_cut: bool = False
    earlier: tuple[ShownCall, ...] = ()
    earlier_left_out: int = 0
    rollback: ShownInverse | None = None
    self_approval: bool = False
