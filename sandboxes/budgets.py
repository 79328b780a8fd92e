"""Egress budgets: how much may leave a sandbox and come into it. Counted by the egress proxy itself.

Every budget has a number or the word `unlimited`; nothing is unlimited by being left out.
"""

from typing import Annotated, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .limits import parse_size
from .token import SERVICE

UNLIMITED: Final = "unlimited"
BUDGETS: Final = ("requests", "parallel", "hosts", "bytes_out", "bytes_in", "redirects", "retries")
"""What is counted. `rate` is beside them: it refuses for a moment, they refuse for good."""


def _parse_amount(value: object) -> object:
    return value if value == UNLIMITED else parse_size(value)


Count = Annotated[int, Field(ge=0, le=10**12)] | Literal["unlimited"]
Amount = Annotated[Count, BeforeValidator(_parse_amount)]


class Rate(BaseModel):
    """A token bucket: `burst` requests at once, then `per_second` of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    per_second: float = Field(gt=0, le=100_000, description="Requests a second, in the long run.")
    burst: int = Field(ge=1, le=100_000, description="Requests that may come at once.")


class Budget(BaseModel):
    """What one execution, or all executions of a profile together, may use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests: Count = Field(1_000, description="Requests in all, refused ones too; CONNECT is none.")
    parallel: Count = Field(64, description="Requests under way at once.")
    hosts: Count = Field(100, description="Different hosts asked for.")
    bytes_out: Amount = Field(256 << 20, description="Bytes of request bodies.")
    bytes_in: Amount = Field(1 << 30, description="Bytes of answers' bodies, as they come from the network.")
    redirects: Count = Field(100, description="Requests that follow a redirect.")
    retries: Count = Field(100, description="Requests made again after they failed or were answered 429 or 5xx.")
    rate: Rate | Literal["unlimited"] = Field(UNLIMITED, description="Requests a second.")
    host_rate: Rate | Literal["unlimited"] = Field(UNLIMITED, description="Requests a second to any one host.")


def _of_profile() -> Budget:
    return Budget(
        requests=1_000_000, parallel=2_000, hosts=10_000, bytes_out=1 << 38, bytes_in=1 << 38,
        redirects=1_000_000, retries=1_000_000,
    )  # fmt: skip


class Budgets(BaseModel):
    """The budgets of a profile."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    execution: Budget = Field(default_factory=Budget, description="For each execution.")
    profile: Budget = Field(default_factory=_of_profile, description="For all executions of the profile together.")
    window_s: int = Field(3_600, ge=1, le=86_400, description="The profile's counts begin anew after that long.")


class Terms(BaseModel):
    """What the egress proxy has to know of a profile beside its rules."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    environments: tuple[str, ...]
    budgets: Budgets = Field(default_factory=Budgets)


def _without_budget() -> Budget:
    return Budget.model_validate(dict.fromkeys(BUDGETS, UNLIMITED))


SERVICE_TERMS: Final = Terms(
    name=SERVICE,
    environments=(SERVICE,),
    budgets=Budgets(execution=_without_budget(), profile=_without_budget()),
)
"""What the gateway does on its own behalf is not a sandbox's doing and has no budget."""
