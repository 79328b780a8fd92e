"""A profile: what an operator allows the programs of a sandbox. Models and pure decisions."""

import hashlib
from functools import cached_property
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from sandboxes.approval_rule import ApprovalRules
from sandboxes.budgets import Budgets
from sandboxes.call_retention import CallRetention
from sandboxes.canonical_json import canonical_json
from sandboxes.ceilings import Ceilings, over_limits
from sandboxes.decision import Decision
from sandboxes.environment import Environment
from sandboxes.image import IMAGE_NAME
from sandboxes.limits import Limits
from sandboxes.rule_set import RuleSet
from sandboxes.session_rules import SessionRules
from sandboxes.tools import ToolRules, decide_tool
from sandboxes.walls import Wall

Language = Literal["javascript", "typescript", "python"]
Isolation = Literal["shared", "tenant", "dedicated"]
LANGUAGES: tuple[Language, ...] = get_args(Language)


def _unique[T](values: tuple[T, ...]) -> tuple[T, ...]:
    for index, value in enumerate(values):
        if value in values[:index]:
            raise ValueError(f'"{value}" is listed twice')
    return values


def _check_approvals(approvals: ApprovalRules, info: ValidationInfo) -> ApprovalRules:
    own = next((rule.name for rule in approvals.rules if rule.self_approval), None)
    if own is not None and info.data.get("environments", ("dev",)) != ("dev",):
        raise ValueError(f'rule "{own}" lets who asked approve, which only a profile with environments: [dev] may')
    return approvals


def _check_image(image: str, info: ValidationInfo) -> str:
    if image in {"javascript", "typescript"}:
        raise ValueError(f'"{image}" is no image that Python programs run on')
    # Languages with a problem of their own are not in `data`.
    if image != "python" and "python" not in info.data.get("languages", ("python",)):
        raise ValueError(f'only Python programs run on "{image}", and languages does not list python')
    return image


class Profile(BaseModel):
    """One version of one profile. Immutable, and known by its digest.

    What is left out is not allowed: no tool, no host. `fetch` has no switch of its own: a program may
    fetch what the egress rules allow.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="Lockgate profile")

    name: str = Field(
        pattern=r"^[a-z][a-z0-9-]{0,62}$",
        description="How requests name the profile: a-z, 0-9 and -, beginning with a letter.",
    )
    version: int = Field(ge=1, le=1_000_000_000, description="Raised by the operator with every change.")
    description: str = Field("", max_length=1_000, description="For people: what it is for.")
    languages: Annotated[tuple[Language, ...], AfterValidator(_unique)] = Field(
        min_length=1, description="Languages a program may be written in."
    )
    environments: Annotated[tuple[Environment, ...], AfterValidator(_unique)] = Field(
        min_length=1, description="Environments a caller may name in the request's context."
    )
    image: Annotated[str, AfterValidator(_check_image)] = Field(
        "python", pattern=IMAGE_NAME, description="What Python programs run on: python, or a declared image."
    )
    isolation: Isolation = Field(
        "tenant",
        description="Who may share a worker process: all (shared), one owner's programs (tenant), nobody (dedicated).",
    )
    require_lockdown: Annotated[tuple[Wall, ...], AfterValidator(_unique)] = Field(
        (), description="Walls around the worker without which no program of this profile starts."
    )
    clock_ms: int = Field(
        1, ge=1, le=1_000, description="A program's clock, which stands still but at host calls, moves in such steps."
    )
    limits: Limits = Field(default_factory=Limits, description="What one execution may use unless its request says.")
    ceilings: Annotated[Ceilings, AfterValidator(over_limits)] = Field(
        default_factory=Ceilings,
        validate_default=True,
        description="The most a request may ask for, at least the limits; what is left out is the limit itself.",
    )
    egress: RuleSet = Field(default_factory=RuleSet, description="Where fetch may go. No rule, no network.")
    budgets: Budgets = Field(
        default_factory=Budgets, description="How much may go out and come in, by the egress proxy's counts."
    )
    tools: ToolRules = Field(default_factory=ToolRules, description="Which tools a program may call.")
    approvals: Annotated[ApprovalRules, AfterValidator(_check_approvals)] = Field(
        default_factory=ApprovalRules, description="Which calls need a human. No rule, no approvals."
    )
    retention: CallRetention = Field(
        default_factory=CallRetention, description="What the store keeps of host calls once their execution has ended."
    )
    sessions: SessionRules = Field(
        default_factory=SessionRules, description="Which programs keep their globals from one to the next."
    )

    def digest(self) -> str:
        """`sha256:` and 64 hex digits over the canonical JSON of every field, defaults included."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        canonical = canonical_json(self.model_dump(mode="json", by_alias=True))
        return "sha256:" + hashlib.sha256(canonical).hexdigest()


def tool_allowed(profile: Profile, name: str) -> Decision:
    """Whether a program under `profile` may call the tool `name` (`upstream.tool`)."""
    return decide_tool(profile.tools, name)


def language_allowed(profile: Profile, language: str) -> Decision:
    """Whether `profile` runs programs in `language`."""
    return _listed(language, profile.languages, "languages", profile.name)


def environment_allowed(profile: Profile, environment: str) -> Decision:
    """Whether a caller from `environment` may use `profile`."""
    return _listed(environment, profile.environments, "environments", profile.name)


def _listed(value: str, listed: tuple[str, ...], key: str, profile: str) -> Decision:
    if value in listed:
        return Decision(allowed=True, reason=f"{key} of profile {profile} lists {value}", rule=key)
    return Decision(
        allowed=False, reason=f'{key} of profile {profile} are {", ".join(listed)}, not "{value}"', rule=key
    )
