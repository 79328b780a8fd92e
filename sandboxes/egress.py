"""The settings of the egress proxy."""

import base64
import binascii
from typing import Self

from pydantic import Field, model_validator

from .budgets import Terms
from .egress_rule import Port
from .hosts import Hosts
from .model import FrozenModel
from .private_service import PrivateServices
from .rule_set import RuleSet
from .secret_name import SecretName
from .secret_source import SecretSource, dangling
from .secret_store import SecretStoreConfig, StoreName


class EventSettings(FrozenModel):
    """How much of the event file is kept, and how soon it survives a crash of the machine."""

    file_bytes: int = Field(
        64 << 20, ge=1 << 20, le=1 << 40, description="The file is turned over before it grows larger."
    )
    files: int = Field(16, ge=1, le=1_000, description="Files kept, the present one included; the oldest goes.")
    sync_ms: int = Field(
        1_000, ge=0, le=60_000, description="An event is synced to the disk at most this long after it was written."
    )


class Patience(FrozenModel):
    """How long the egress proxy lets an exchange stand still, in seconds, whichever side it waits for."""

    body_s: float = Field(60, gt=0, description="Between two pieces of a body, either way.")
    answer_s: float = Field(300, gt=0, description="From the request's end to the whole head of its answer.")
    events_s: float = Field(1_800, gt=0, description="Between two pieces of an event stream.")
    total_s: float = Field(86_400, gt=0, description="From the request's head to the answer's end.")


class EgressSettings(FrozenModel):
    """Everything the egress proxy is started with: one JSON line on its standard input."""

    listen_host: str = "127.0.0.1"
    listen_port: int = Field(0, ge=0, le=65535, description="0: any free port; the ready line tells which.")
    token_key: str = Field(repr=False, description="Base64 of the key execution tokens are signed with, 32 bytes up.")
    state_dir: str = Field(description="Holds ca/, made on first use with mode 0700.")
    event_file: str | None = Field(description="JSON lines, one per request, mode 0600; null for none.")
    events: EventSettings = Field(default_factory=EventSettings, description="How the event file is kept.")
    metrics_file: str | None = Field(None, description="Prometheus text, replaced every two seconds; null for none.")
    rule_sets: dict[str, RuleSet] = Field(description="By digest.")
    generation: int = Field(0, ge=0, description="Which generation of the configuration this is.")
    owners: dict[str, str] = Field(default_factory=dict, description="Whose each rule set is, to its digest.")
    terms: dict[str, Terms] = Field(default_factory=dict, description="By the digest of a profile; a token names one.")
    secrets: dict[SecretName, SecretSource] = Field(default_factory=dict)
    secret_stores: dict[StoreName, SecretStoreConfig] = Field(default_factory=dict)
    own_ports: tuple[Port, ...] = Field(
        (), description="Ports of this service on this machine: refused whatever a rule says."
    )
    hosts: Hosts = Field(default_factory=dict, description="Name to address, instead of DNS.")
    private_services: PrivateServices = Field(default_factory=dict, description="By host name.")
    head_timeout_s: float = Field(15.0, gt=0, description="For a request head to arrive, once it began.")
    processes: int = Field(1, ge=1, le=16, description="Egress processes behind the one address.")
    shard: int | None = Field(None, ge=0, description="Which of them this one is; none: their parent, or the only one.")
    handover_fd: int | None = Field(None, ge=3, description="Where a member gets connections from its parent.")
    patience: Patience = Field(default_factory=Patience, description="For what follows the request head.")
    extra_ca_file: str | None = Field(None, description="PEM certificates trusted for upstreams beside the system's.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for digest, rules in self.rule_sets.items():
            if rules.digest() != digest:
                raise ValueError(f"rule set {digest} has the digest {rules.digest()}")
        if len(self.key()) < 32:  # noqa: PLR2004 - the output size of SHA-256
            raise ValueError("token_key is shorter than 32 bytes")
        for keys, fault in dangling(self.secrets, self.secret_stores):
            raise ValueError(f"{'.'.join(keys)}: {fault}")
        return self

    def key(self) -> bytes:
        """The token key's bytes."""
        try:
            return base64.b64decode(self.token_key, validate=True)
        except binascii.Error:
            raise ValueError("token_key is not base64") from None
