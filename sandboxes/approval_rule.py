"""Which calls need a human: rules over the facts of a call, the first that matches decides."""

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from .call_facts import CallFacts, CallKind, Effect
from .egress_rule import Method
from .environment import Environment
from .field_rule import ArgumentRule
from .model import FrozenModel
from .tools import ToolPattern, name_matches_any

Action = Literal["allow", "ask", "deny"]
EffectWord = Literal["read", "write", "destructive"]
DAY_S: Final = 86_400
MOST_APPROVERS: Final = 10
_MOST_PLACES: Final = 10_000
_MOST_POINTER: Final = 500


def check_place(pointer: str) -> str:
    """A JSON Pointer (RFC 6901) in which a token `*` stands for every item or member."""
    if not pointer.startswith("/") or len(pointer) > _MOST_POINTER or not pointer.isprintable():
        raise ValueError(f'expected a JSON Pointer such as "/amount" or "/items/*/price", not "{pointer[:80]}"')
    return pointer


Place = Annotated[str, AfterValidator(check_place)]


class ArgumentCondition(ArgumentRule):
    """What an argument has to be for a rule to match. Numbers may be bounded, too."""

    above: float | None = Field(None, allow_inf_nan=False, description="A number greater than this.")
    below: float | None = Field(None, allow_inf_nan=False, description="A number less than this.")

    @model_validator(mode="after")
    def _not_absent(self) -> Self:
        bounded = self.above is not None or self.below is not None
        if bounded and (self.presence == "absent" or self.values or self.pattern is not None):
            raise ValueError("above and below stand alone: with presence: absent, values or pattern they say nothing")
        return self

    def met(self, *, present: bool, value: Any) -> bool | None:
        """Whether a value meets it; None where that cannot be told, because it is of another type."""
        if present and self.presence != "absent":
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if (self.above is not None or self.below is not None) and not numeric:
                return None
            if self.pattern is not None and not isinstance(value, str):
                return None
            if (self.above is not None and not value > self.above) or (
                self.below is not None and not value < self.below
            ):
                return False
        return self.fault(present=present, value=value) is None


class ApprovalRule(FrozenModel):
    """All that is written has to hold of a call; what is left out, holds."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Shown to approvers and in refusals.")
    action: Action = Field(description="allow it, ask a human, or deny it.")
    tools: tuple[ToolPattern, ...] = Field((), max_length=500, description='"upstream.tool", with *; a fetch is none.')
    kinds: tuple[CallKind, ...] = Field((), description="tool, fetch. Empty: both.")
    methods: tuple[Method, ...] = Field(
        (), description='HTTP methods in capitals; "*" is every one. Empty: any, or none.'
    )
    effects: tuple[EffectWord, ...] = Field(
        (), description="read, write (all that is not known to only read), destructive. Empty: any."
    )
    arguments: dict[Place, ArgumentCondition] = Field(
        default_factory=dict, max_length=50, description="Conditions by JSON Pointer; * is every item or member."
    )
    environments: tuple[Environment, ...] = Field((), description="Where the caller says it acts. Empty: anywhere.")
    risk_at_least: int | None = Field(None, ge=0, le=100, description="A risk score of this or more.")
    after_writes: int | None = Field(
        None, ge=0, le=100_000, description="From then on: so many writes of the execution go without this rule."
    )
    approvers: int = Field(1, ge=1, le=MOST_APPROVERS, description="How many different people have to approve.")
    expires_s: int = Field(DAY_S, ge=1, le=30 * DAY_S, description="Undecided for so long, the call is denied.")
    self_approval: bool = Field(
        default=False, description="Whether who asked may approve; only in profiles for dev alone."
    )
    reason: str = Field("", max_length=500, description="Why this needs a human, for the one who decides.")

    @model_validator(mode="after")
    def _asks_of_asking_rules(self) -> Self:
        if self.action == "ask":
            return self
        fields = type(self).model_fields
        asking = ("approvers", "expires_s", "self_approval")
        unused = [name for name in asking if getattr(self, name) != fields[name].default]
        if unused:
            raise ValueError(f"{', '.join(unused)}: says nothing with action: {self.action}, which asks nobody")
        return self

    def matches(self, facts: CallFacts, risk: int) -> bool:
        """Whether the call is one of these. What cannot be told counts against the call."""
        return (
            (not self.kinds or facts.kind in self.kinds)
            and (not self.tools or (facts.kind == "tool" and name_matches_any(self.tools, facts.tool)))
            and (not self.methods or method_named(self.methods, facts.method))
            and (not self.effects or any(has_effect(facts.effect, effect) for effect in self.effects))
            and (not self.environments or facts.environment in self.environments)
            and (self.risk_at_least is None or risk >= self.risk_at_least)
            and (self.after_writes is None or facts.earlier_writes >= self.after_writes)
            and all(self._met(place, condition, facts) for place, condition in self.arguments.items())
        )

    def _met(self, place: str, condition: ArgumentCondition, facts: CallFacts) -> bool:
        """One value among several is enough to ask or deny; to allow, all have to be as written."""
        found = values_at(dict(facts.arguments), place)
        told = [condition.met(present=present, value=value) for present, value in found]
        if self.action == "allow":
            return len(found) <= _MOST_PLACES and all(each is True for each in told)
        return len(found) > _MOST_PLACES or any(each is not False for each in told)


def method_named(methods: tuple[str, ...], method: str) -> bool:
    """Whether a rule's methods name an HTTP method; where there is none, they do not."""
    return bool(method) and (method in methods or "*" in methods)


def has_effect(effect: Effect, word: EffectWord) -> bool:
    """Whether a rule's word says it of an effect."""
    if word == "read":
        return effect.read_only
    return not effect.read_only and (word == "write" or effect.destructive)


def values_at(value: Any, place: str) -> list[tuple[bool, Any]]:
    """What stands at a place: (present, value), of several for `*`; one (False, None) where there is nothing."""
    found = [value]
    for part in place.split("/")[1:]:
        found = [below for each in found for below in _below(each, part)]
        if len(found) > _MOST_PLACES:
            break
    return [(True, each) for each in found] or [(False, None)]


def _below(value: Any, part: str) -> list[Any]:
    if part == "*":
        return list(value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ())
    key = part.replace("~1", "/").replace("~0", "~")
    if isinstance(value, Mapping):
        return [value[key]] if key in value else []
    if isinstance(value, list) and key.isascii() and key.isdigit() and int(key[:9]) < len(value):
        return [value[int(key[:9])]]
    return []


class ApprovalRules(FrozenModel):
    """The rules of a profile, in order. A call that none matches needs no approval."""

    rules: tuple[ApprovalRule, ...] = Field((), max_length=200, description="The first that matches decides.")
    wall_clock: Literal["stops", "runs"] = Field(
        "stops", description="What wall_ms does while an execution waits for a human."
    )

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f'two rules are called "{twice}"')
        return self
