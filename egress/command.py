"""What the supervisor tells a running proxy: one JSON line a command, each obeyed wholly or not at all."""

from typing import TYPE_CHECKING, Any, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandboxes.egress import EgressSettings
from sandboxes.egress_rule import Port
from sandboxes.generation import Generation
from sandboxes.hosts import Hosts
from sandboxes.private_service import PrivateServices
from sandboxes.rule_set import RuleSet
from sandboxes.secret_name import SecretName
from sandboxes.secret_source import SecretSource, dangling
from sandboxes.secret_store import SecretStoreConfig, StoreName
from sandboxes.token import MOST_LIFETIME_S

if TYPE_CHECKING:
    from .proxy import Proxy  # at run time it would bring mitmproxy to a parent that has no use for it


class SecretsTold(BaseModel):
    """Where secrets are found from now on, all of them."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    sources: dict[SecretName, SecretSource]
    stores: dict[StoreName, SecretStoreConfig]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for keys, fault in dangling(self.sources, self.stores):
            raise ValueError(f"{'.'.join(keys)}: {fault}")
        return self


class Command(BaseModel):
    """Everything in one line is done together. A list under `revoke`: their tokens' expiry is not known."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    rule_sets: dict[str, RuleSet] = Field(default_factory=dict)
    revoke: dict[str, int] | tuple[str, ...] = ()
    generation: Generation | None = None
    secrets: SecretsTold | None = None
    hosts: Hosts | None = None
    private_services: PrivateServices | None = None
    own_ports: tuple[Port, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for digest, rules in self.rule_sets.items():
            if rules.digest() != digest:
                raise ValueError(f"rule set {digest} has another digest")
        return self

    def revoked(self, now: float) -> dict[str, int]:
        """Executions to when their last token expires, in Unix seconds."""
        if isinstance(self.revoke, dict):
            return self.revoke
        return dict.fromkeys(self.revoke, int(now) + MOST_LIFETIME_S)

    def followed(self, settings: EgressSettings) -> EgressSettings:
        """The settings of a proxy that is started after this command."""
        changed: dict[str, Any] = {"rule_sets": {**settings.rule_sets, **self.rule_sets}}
        if self.generation is not None:
            generation = self.generation
            changed = {"rule_sets": {**generation.rule_sets, **self.rule_sets}, "generation": generation.number}
            changed |= {"owners": generation.owners, "terms": generation.terms}
        if self.secrets is not None:
            changed |= {"secrets": self.secrets.sources, "secret_stores": self.secrets.stores}
        if self.hosts is not None:
            changed["hosts"] = self.hosts
        if self.private_services is not None:
            changed["private_services"] = self.private_services
        return settings.model_copy(update=changed)


def obey(command: Command, proxy: "Proxy", now: float) -> None:
    """Do what a command says. Raises ValueError if it cannot be done; then nothing of it is."""
    admitter, relays = proxy.admitter, proxy.exchanges.relays
    if command.generation is not None:
        admitter.load(command.generation, now)
    if command.secrets is not None:
        proxy.use_secrets(command.secrets.sources, command.secrets.stores)
    proxy.use_hosts(command.hosts, command.private_services)
    proxy.use_own_ports(command.own_ports)
    admitter.add_rule_sets(command.rule_sets)
    if revoked := command.revoked(now):
        proxy.identities.revocations.add(revoked, now)
        proxy.ledger.forget(revoked)
        relays.end(lambda claims: claims.execution in revoked, "revoked", "the execution token was revoked")
    if command.generation is not None:
        relays.end_withdrawn()
