"""A cell: an egress proxy and a gateway as children of this process, started together and kept alive.

This process holds what both need and neither may have alone: it reads the configuration, hands the secrets'
sources to the proxy only, and gives the gateway an environment without them.
"""

import asyncio
import base64
import contextlib
import json
import logging
import os
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel

from runtime.service.child import Child, ChildFailedError, Ready
from runtime.service.loaded import Loaded
from runtime.service.reloader import Reloader
from runtime.service.settings import GatewaySettings, News
from runtime.store.password import store_password
from runtime.worker.pool import usable_cores
from sandboxes.config import split_endpoint
from sandboxes.egress import EgressSettings
from sandboxes.state import StateDirectory
from sandboxes.store_config import PostgresStore

log = logging.getLogger(__name__)

START_TIMEOUT_S = 60.0
_FIRST_PORT, _PORTS = 10_000, 22_000
_PORT_TRIES = 100
SLOTS = 1
"""Guests that run at once in a worker. A process more beats a thread more: each has an address space of its own."""

# The thread that waits for what is ready reads the connections itself. Passed on between threads, as gRPC does it
# otherwise, a call takes a tenth more processor time. A gRPC that knows no such experiment says so and goes on.
_GATEWAY_VARIABLES = {"GRPC_EXPERIMENTS": "-event_engine_listener"}
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
        self.loaded = Loaded.read(options.config_file)
        self.config = self.loaded.config
        self.token = options.state.token().get_secret_value()
        self.warnings: list[str] = []
        self._key = base64.b64encode(secrets.token_bytes(32)).decode()
        self.warnings += self.loaded.warnings()
        self.grpc_address = self._address(self.config.listen.grpc)
        self.mcp_address = self._address(self.config.listen.mcp)
        self._egress_port = 0
        self._egress_ports: tuple[int, ...] = ()
        self._problem = ""
        self._reloader: Reloader | None = None
        self._watching: asyncio.Task[None] | None = None
        self.ca_file = ""
        self._egress = Child("egress proxy", "egress", self._egress_settings, self._egress_ready, os.environ)
        self._gateway = Child(
            "gateway",
            "runtime.service.gateway",
            self._gateway_settings,
            self._gateway_ready,
            {**_without_secrets(), **_GATEWAY_VARIABLES},
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
        for file in self._options.state.path.glob("egress*.prom"):
            file.unlink()  # counts of processes that are no more
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
        self._reloader = Reloader(
            self.loaded, self._options.config_file, self._options.state.status_file, self._apply, self._tell_problem
        )
        self._watching = asyncio.create_task(self._reloader.run())
        return self

    def reload(self) -> None:
        """Look at the operator's files now."""
        if self._reloader is not None:
            self._reloader.request()

    async def _apply(self, following: Loaded) -> None:
        """The proxy first: no token may name what it does not know. Raises ChildFailedError."""
        command: dict[str, Any] = {"generation": following.generation().model_dump(mode="json", by_alias=True)}
        told, was = following.config, self.loaded.config
        if (told.secrets, told.secret_stores) != (was.secrets, was.secret_stores):
            command["secrets"] = {"sources": _plain(told.secrets), "stores": _plain(told.secret_stores)}
        if told.hosts != was.hosts:
            command["hosts"] = told.hosts
        if told.private_services != was.private_services:
            command["private_services"] = _plain(told.private_services)
        await self._ask(self._egress, json.dumps(command))
        news = News(generation=following.number, profiles=following.profiles)
        self.loaded, self.config = following, following.config
        # What was not written stays so: who set a limit is told from it.
        await self._ask(self._gateway, news.model_dump_json(by_alias=True, exclude_unset=True))

    @staticmethod
    async def _ask(child: Child, line: str) -> None:
        answer = await child.ask(line)
        if not answer["done"]:
            raise ChildFailedError(f"the {child.name} refused the configuration: {answer.get('error')}")

    async def _tell_problem(self, problem: str) -> None:
        self._problem = problem
        with contextlib.suppress(ChildFailedError):
            await self._ask(self._gateway, News(problem=problem).model_dump_json(by_alias=True, exclude_unset=True))

    async def __aexit__(self, *_: object) -> None:
        await self._stop()

    async def _stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._gateway.stop()
        await self._egress.stop()

    def _egress_settings(self) -> str:
        own = [split_endpoint(address)[1] for address in (self.grpc_address, self.mcp_address)]
        if isinstance(self.config.store, PostgresStore) and self.config.store.port is not None:
            own.append(self.config.store.port)
        generation = self.loaded.generation()
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
            private_services=self.config.private_services,
            processes=self.config.egress_processes,
            extra_ca_file=self.config.extra_ca_file,
        )
        return settings.model_dump_json(by_alias=True, exclude_unset=True)

    async def _egress_ready(self, ready: Ready) -> None:
        self._egress_port = int(ready["port"])
        self._egress_ports = tuple(int(port) for port in ready.get("ports", ()))
        self.ca_file = str(ready.get("ca_file", ""))
        self.warnings += [str(warning) for warning in ready.get("warnings", [])]
        if self._gateway.pid is not None:
            await self._gateway.tell(
                News(egress_port=self._egress_port, egress_ports=self._egress_ports).model_dump_json()
            )

    def _gateway_settings(self) -> str:
        return GatewaySettings(
            config=self.config,
            profiles=self.loaded.profiles,
            generation=self.loaded.number,
            problem=self._problem,
            state_dir=self._options.state.path,
            grpc_address=self.grpc_address,
            mcp_address=self.mcp_address,
            token_key=self._key,
            store_password=store_password(self.config.store, os.environ).get_secret_value(),
            workers=self._options.workers or usable_cores(),
            slots=SLOTS,
        ).model_dump_json(by_alias=True, exclude_unset=True)

    async def _gateway_says(self, line: Ready) -> None:
        """Executions that are over; a list of names and times, and nothing else is passed on."""
        revoked = {str(execution): int(until) for execution, until in line.get("revoke", {}).items()}
        await self._egress.tell(json.dumps({"revoke": revoked}))

    async def _gateway_ready(self, _: Ready) -> None:
        if self._egress_port:
            await self._gateway.tell(
                News(egress_port=self._egress_port, egress_ports=self._egress_ports).model_dump_json()
            )


def _plain(models: Mapping[str, BaseModel]) -> dict[str, Any]:
    return {name: model.model_dump(mode="json", by_alias=True) for name, model in models.items()}


def _without_secrets() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in _KEPT_VARIABLES}


def _free_port(host: str) -> int:
    """One that is free now, below those the kernel gives to connections: one of these may be taken a moment later."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(_PORT_TRIES):
        port = _FIRST_PORT + secrets.randbelow(_PORTS)
        with socket.socket(family) as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    raise OSError(f"no port of {host} is free")


def describe(cell: Cell) -> str:
    """One JSON line that tells where a cell listens; never its token."""
    return json.dumps({"grpc": cell.grpc_address, "mcp": f"http://{cell.mcp_address}/mcp"})
