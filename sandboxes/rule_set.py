"""The egress rules of one profile or of one upstream.

Deny by default: a request leaves only if one rule allows it. The first such rule in order decides, and its
`inject` is the credential the request carries.
"""

import hashlib
from collections.abc import Iterable
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from .canonical_json import canonical_json
from .dlp import DlpRule, all_of
from .egress_rule import DEFAULT_PORTS, EgressRule
from .environment import Environment
from .injections import Inject
from .model import FrozenModel

Mode = Literal["enforce", "report"]


class RuleSet(FrozenModel):
    """The egress rules of one profile or of one upstream, known by their digest."""

    rules: tuple[EgressRule, ...] = ()
    mode: Mode = Field(
        "enforce", description="report: what no rule allows is recorded as such and let go, without any secret."
    )
    report_in: tuple[Environment, ...] = Field(
        ("dev", "stage"), min_length=1, description="Environments that mode report is for; prod only if written here."
    )
    dlp: tuple[DlpRule, ...] = Field((), description="What requests must not carry out, whichever rule allows them.")

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two rules are called {', '.join(sorted(twice))}; give each its own name")
        return self

    @model_validator(mode="after")
    def _distinct_dlp(self) -> Self:
        names = [rule.name for rule in self.dlp]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two outgoing data rules are called {', '.join(sorted(twice))}; give each its own name")
        unknown = {name for rule in self.dlp for name in rule.exempt} - {rule.name for rule in self.rules}
        if unknown:
            raise ValueError(f"exempt names {', '.join(sorted(unknown))}, and no egress rule is called that")
        return self

    def digest(self) -> str:
        """`sha256:` and the hexadecimal SHA-256 of the set's canonical JSON (sorted keys, no spaces)."""
        return "sha256:" + hashlib.sha256(canonical_json(self.model_dump(mode="json", by_alias=True))).hexdigest()

    def reports_in(self, environment: str) -> bool:
        """Whether what no rule allows is let go there."""
        return self.mode == "report" and environment in self.report_in

    def standing(self, present: Iterable["RuleSet"]) -> "RuleSet":
        """What is left of this set where only `present` ones are in force: never more than either allowed."""
        held = list(present)
        reporting = tuple(place for place in self.report_in if any(rules.reports_in(place) for rules in held))
        rules = tuple(rule for rule in self.rules if any(rule in other.rules for other in held))
        dlp = all_of((self.dlp, *(other.dlp for other in held)), {rule.name for rule in rules})
        if self.mode == "report" and reporting:
            return RuleSet(rules=rules, dlp=dlp, mode="report", report_in=reporting)
        return RuleSet(rules=rules, dlp=dlp)

    def secrets(self) -> frozenset[str]:
        """Names of the secrets that these rules may add."""
        return frozenset(injection.secret for rule in self.rules for injection in rule.injections)


def rules_for_base_url(
    name: str, base_url: str, *, inject: Inject | None = None, networks: tuple[str, ...] = ()
) -> RuleSet:
    """The rule set of an upstream: every method and path under its base URL, with its credential.

    Raises ValueError if the base URL is not a plain http(s) URL.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        raise ValueError(f'"{base_url}" is not a base URL; write it like "https://api.example.com/v1"')
    prefix = parts.path.rstrip("/")
    paths = [f"{prefix}/**", prefix] if prefix else ["/**"]
    rule = {
        "name": name,
        "hosts": [parts.hostname],
        "ports": [parts.port or DEFAULT_PORTS[parts.scheme]],
        "schemes": [parts.scheme],
        "methods": ["*"],
        "paths": paths,
        "networks": list(networks),
        "inject": inject,
    }
    return RuleSet.model_validate({"rules": [rule]})
