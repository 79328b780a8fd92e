"""How people outside hear of approvals and answer: a webhook out, a callback in. Part of lockgate.yaml."""

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from .egress_rule import DEFAULT_PORTS
from .injection import Injection
from .network import Network
from .rule_set import RuleSet


def _check_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        raise ValueError(f'"{url[:80]}" is not an http or https URL without credentials')
    if "*" in parts.path:
        raise ValueError("a webhook's URL has no *: it is one place")
    if parts.query or parts.fragment:
        raise ValueError("a webhook's URL has no query and no fragment; a credential goes under auth")
    return url


class Webhook(BaseModel):
    """Where approvals are told of, by POST, through the egress proxy under a rule of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: Annotated[str, Field(max_length=2_000), AfterValidator(_check_url)] = Field(description="Where to POST.")
    auth: Injection | None = Field(None, description="A secret that the egress proxy adds, beside the signature.")
    networks: tuple[Network, ...] = Field((), description="Private networks the receiver may be in, as CIDR.")

    @model_validator(mode="after")
    def _is_a_rule(self) -> Self:
        self.rule_set()
        return self

    def rule_set(self) -> RuleSet:
        """POST to this URL and nothing else."""
        parts = urlsplit(self.url)
        rule = {
            "name": "approvals-webhook",
            "hosts": [parts.hostname],
            "ports": [parts.port or DEFAULT_PORTS[parts.scheme]],
            "schemes": [parts.scheme],
            "methods": ["POST"],
            "paths": [parts.path or "/"],
            "networks": list(self.networks),
            "inject": self.auth,
        }
        return RuleSet.model_validate({"rules": [rule]})


class ApprovalChannels(BaseModel):
    """What there is beside gRPC, the command line and MCP elicitation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    webhook: Webhook | None = Field(None, description="Hears of every approval that is asked, decided or ended.")
    callback: bool = Field(
        default=False, description="Whether signed decisions are taken at POST /approvals/decide of the MCP address."
    )
