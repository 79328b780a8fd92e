"""An egress proxy for one command alone, under one profile's rules, with a key of its own: no token outlives it."""

import base64
import contextlib
import getpass
import os
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from runtime.enclosure.enclosure import Way
from runtime.service.child import Child, Ready
from sandboxes.budgets import Terms
from sandboxes.config import Config, split_endpoint
from sandboxes.egress import EgressSettings
from sandboxes.environment import Environment
from sandboxes.generation import make_generation
from sandboxes.profile import Profile
from sandboxes.state import StateDirectory
from sandboxes.token import TokenClaims, sign_token

_START_S: Final = 60.0


@dataclass(kw_only=True, slots=True)
class PrivateProxy:
    """What it is started with. `lifetime_s`: of the token that one connection of the command's speaks with."""

    state: StateDirectory
    config: Config
    profile: Profile
    environment: Environment
    lifetime_s: int
    warnings: list[str] = field(default_factory=list)
    execution: str = field(default_factory=lambda: f"run:{secrets.token_hex(8)}")
    _key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)
    _port: int = 0
    _ca_file: str = ""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Way]:
        """The way to it, inside the block. Raises ChildFailedError if it does not start."""
        child = Child("egress proxy", "egress", self._settings, self._ready, os.environ)
        await child.start(_START_S)
        try:
            yield Way(find=self._find, token=self._token, ca_file=self._ca_file)
        finally:
            await child.stop()

    async def _ready(self, ready: Ready) -> None:
        self._port, self._ca_file = int(ready["port"]), str(ready["ca_file"])
        self.warnings += [str(warning) for warning in ready.get("warnings", [])]

    async def _find(self) -> tuple[str, int]:
        return "127.0.0.1", self._port

    def _token(self) -> str:
        claims = TokenClaims(
            execution=self.execution,
            profile=self.profile.digest(),
            rules=self.profile.egress.digest(),
            actor=f"cli:{getpass.getuser()}",
            environment=self.environment,
            expires=int(time.time()) + self.lifetime_s,
        )
        return sign_token(claims, self._key)

    def _settings(self) -> str:
        profile, config = self.profile, self.config
        terms = Terms(name=profile.name, environments=profile.environments, budgets=profile.budgets)
        generation = make_generation(0, {f"profile {profile.name}": profile.egress}, [(profile.digest(), terms)])
        own = [split_endpoint(endpoint)[1] for endpoint in (config.listen.grpc, config.listen.mcp)]
        # All or none: a secret may be made from others, or be in a store that takes one.
        needed = config.secrets if profile.egress.secrets() else {}
        return EgressSettings(
            listen_port=self._port,
            token_key=base64.b64encode(self._key).decode(),
            state_dir=str(self.state.path),
            event_file=str(self.state.event_file),
            events=config.egress_events,
            rule_sets=generation.rule_sets,
            owners=generation.owners,
            terms=generation.terms,
            secrets=needed,
            secret_stores=config.secret_stores if needed else {},
            own_ports=tuple(port for port in own if port),
            hosts=config.hosts,
            private_services=config.private_services,
            extra_ca_file=config.extra_ca_file,
        ).model_dump_json(by_alias=True)
