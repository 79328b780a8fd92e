"""The egress rules of one profile or of one upstream.

Deny by default: a request leaves only if one rule allows it. The first such rule in order decides, and its
`inject` is the credential the request carries.
"""

import hashlib
from typing import Self
from urllib.parse import urlsplit

from pydantic import model_validator

from .canonical_json import canonical_json
from .egress_rule import DEFAULT_PORTS, EgressRule
from .injection import Injection
from .model import FrozenModel


class RuleSet(FrozenModel):
    """The egress rules of one profile or of one upstream, known by their digest."""

    rules: tuple[EgressRule, ...] = ()

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = [rule.name for rule in self.rules]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two rules are called {', '.join(sorted(twice))}; give each its own name")
        return self

    def digest(self) -> str:
        """`sha256:` and the hexadecimal SHA-256 of the set's canonical JSON (sorted keys, no spaces)."""
        return "sha256:" + hashlib.sha256(canonical_json(self.model_dump(mode="json", by_alias=True))).hexdigest()

    def secrets(self) -> frozenset[str]:
        """Names of the secrets that these rules may add."""
        return frozenset(rule.inject.secret for rule in self.rules if rule.inject)


def rules_for_base_url(
    name: str, base_url: str, *, inject: Injection | None = None, networks: tuple[str, ...] = ()
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
