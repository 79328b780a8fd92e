"""A cell: an egress proxy and a gateway as children of this process, started together and kept alive.

This process holds what both need and neither may have alone: it reads the configuration, hands the secrets'
sources to the proxy only, and gives the gateway an environment without them.
"""

import asyncio
import base64
import json
import logging
import os
import secrets
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from runtime.service.child import Child, Ready
from runtime.service.settings import EgressAddress, GatewaySettings
from runtime.worker.pool import usable_cores
from sandboxes.budgets import Terms
from sandboxes.config import Config, load_config, split_endpoint, undeclared_secrets
from sandboxes.egress import EgressSettings
from sandboxes.generation import Generation, make_generation
from sandboxes.profile_file import load_profiles
from sandboxes.state import StateDirectory

log = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
SLOTS = 1
"""Guests that run at once in a worker. A process more beats a thread more: each has an address space of its own."""

# Beside these nothing of this process's environment reaches the gateway: variables may hold secrets.
_KEPT_VARIABLES = frozenset({"PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME", "VIRTUAL_ENV"})


@dataclass(frozen=True, kw_only=True, slots=True)
class CellOptions:
    """What a cell is started with. `config_file` None means no upstreams; `any_port` overrides the configuration's."""

    state: StateDirectory
    config_file: Path | None = None
    any_port: bool = False
    workers: int | None = None


class Cell:
    """`async with Cell(options) as cell:` — ready inside, ended after."""

    def __init__(self, options: CellOptions) -> None:
        self._options = options
        self.config = load_config(options.config_file) if options.config_file is not None else Config()
        self.token = options.state.token().get_secret_value()
        self.warnings: list[str] = []
        self._key = base64.b64encode(secrets.token_bytes(32)).decode()
        self._profiles = load_profiles([Path(place) for place in self.config.profiles]).profiles
        self.warnings += undeclared_secrets(self.config, self._profiles.values())
        self.grpc_address = self._address(self.config.listen.grpc)
        self.mcp_address = self._address(self.config.listen.mcp)
        self._egress_port = 0
        self.ca_file = ""
        self._egress = Child("egress proxy", "egress", self._egress_settings, self._egress_ready, os.environ)
        self._gateway = Child(
            "gateway",
            "runtime.service.gateway",
            self._gateway_settings,
            self._gateway_ready,
            _without_secrets(),
            self._gateway_says,
        )

    def _address(self, endpoint: str) -> str:
        host, port = split_endpoint(endpoint)
        if self._options.any_port or port == 0:
            port = _free_port(host)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def pids(self) -> dict[str, int | None]:
        """The children's process ids by name."""
        return {"egress": self._egress.pid, "gateway": self._gateway.pid}

    async def __aenter__(self) -> Self:
        children = (self._egress, self._gateway)
        starting = [asyncio.create_task(child.start(START_TIMEOUT_S)) for child in children]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
            await self._stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        await self._gateway.stop()
        await self._egress.stop()

    def _egress_settings(self) -> str:
        own = [split_endpoint(address)[1] for address in (self.grpc_address, self.mcp_address)]
        generation = self._generation()
        settings = EgressSettings(
            listen_port=self._egress_port,
            token_key=self._key,
            state_dir=str(self._options.state.path),
            event_file=str(self._options.state.event_file),
            events=self.config.egress_events,
            metrics_file=str(self._options.state.metrics_file),
            rule_sets=generation.rule_sets,
            generation=generation.number,
            owners=generation.owners,
            terms=generation.terms,
            secrets=self.config.secrets,
            secret_stores=self.config.secret_stores,
            own_ports=tuple(own),
            hosts=self.config.hosts,
            extra_ca_file=self.config.extra_ca_file,
        )
        return settings.model_dump_json(by_alias=True)

    def _generation(self) -> Generation:
        owned = {f"profile {profile.name}": profile.egress for profile in self._profiles.values()}
        owned |= {f"upstream {name}": upstream.rule_set(name) for name, upstream in self.config.upstreams.items()}
        terms = [
            (profile.digest(), Terms(name=profile.name, environments=profile.environments, budgets=profile.budgets))
            for profile in self._profiles.values()
        ]
        return make_generation(0, owned, terms)

    async def _egress_ready(self, ready: Ready) -> None:
        self._egress_port = int(ready["port"])
        self.ca_file = str(ready.get("ca_file", ""))
        self.warnings += [str(warning) for warning in ready.get("warnings", [])]
        if self._gateway.pid is not None:
            await self._gateway.tell(EgressAddress(egress_port=self._egress_port).model_dump_json())

    def _gateway_settings(self) -> str:
        return GatewaySettings(
            config_file=self._options.config_file,
            state_dir=self._options.state.path,
            grpc_address=self.grpc_address,
            mcp_address=self.mcp_address,
            token_key=self._key,
            workers=self._options.workers or usable_cores(),
            slots=SLOTS,
        ).model_dump_json()

    async def _gateway_says(self, line: Ready) -> None:
        """Executions that are over; a list of names and times, and nothing else is passed on."""
        revoked = {str(execution): int(until) for execution, until in line.get("revoke", {}).items()}
        await self._egress.tell(json.dumps({"revoke": revoked}))

    async def _gateway_ready(self, _: Ready) -> None:
        if self._egress_port:
            await self._gateway.tell(EgressAddress(egress_port=self._egress_port).model_dump_json())


def _without_secrets() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES}


def _free_port(host: str) -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def describe(cell: Cell) -> str:
    """One JSON line that tells where a cell listens; never its token."""
    return json.dumps({"grpc": cell.grpc_address, "mcp": f"http://{cell.mcp_address}/mcp"})
