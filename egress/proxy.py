"""The proxy put together: a real mitmproxy master with as few parts as it runs with."""

import asyncio
import contextlib
import datetime as dt
import logging
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from mitmproxy import options
from mitmproxy.addons.proxyserver import Proxyserver

from sandboxes.egress import EgressSettings
from sandboxes.generation import Generation
from sandboxes.private_service import PrivateService, addresses_of
from sandboxes.secret_source import SecretSource
from sandboxes.secret_store import SecretStoreConfig

from . import layers
from .admitter import Admitter
from .certificate_authority import CertificateAuthority
from .certificates import Certificates, trust_file
from .closed import ClosedAddons, GateMaster
from .event_file import EventFile
from .events import EventLog
from .exchanges import Exchanges
from .gate import Gate
from .generations import Generations
from .identities import Identities
from .ledger import Ledger
from .metrics import Metrics
from .next_layer import NextLayer
from .places import Places
from .secrets import Secret, SecretStore, TokenClient
from .tunnel_gate import TunnelGate

_log = logging.getLogger(__name__)
_IDLE_TIMEOUT_S = 600
_LOOK_S = 0.25
_MOST_FORMER = 10_000


class Proxy:
    """One egress proxy. Make it inside a running `GuardedLoop`, then `await run()`."""

    def __init__(self, settings: EgressSettings) -> None:
        layers.install(settings.head_timeout_s)
        state = Path(settings.state_dir)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        authority = CertificateAuthority(state)
        authority.ensure(dt.datetime.now(dt.UTC))
        self.ca_file = authority.bundle
        self.log = _event_log(settings)
        self._own_ports = set(settings.own_ports)
        trusted = trust_file(state, settings.extra_ca_file)
        self._plain_hosts: Mapping[str, str] = settings.hosts
        self._services = dict(settings.private_services)
        self._hosts = addresses_of(settings.hosts, self._services)
        self._patience = settings.patience
        self._client = TokenClient(trust=trusted, own_ports=self._own_ports, hosts=self._hosts)
        self.secrets = SecretStore(settings.secrets, stores=settings.secret_stores, client=self._client)
        self.former_secrets: list[Secret] = []  # still not to be shown
        self._loading: asyncio.Task[None] | None = None
        generations = Generations(_generation(settings))
        shard = None if settings.shard is None else (settings.shard, settings.processes)
        self.identities = Identities(settings.key(), generations, shard)
        self.admitter = Admitter(
            generations=generations, secrets=self.secrets, own_ports=self._own_ports, services=self._services
        )
        self.exchanges = Exchanges(self.admitter, self.identities, self.log)
        self.ledger = Ledger(settings.processes)
        tunnels = TunnelGate(self.admitter, self.exchanges)
        self.gate = Gate(
            admitter=self.admitter,
            identities=self.identities,
            exchanges=self.exchanges,
            tunnels=tunnels,
            ledger=self.ledger,
            places=Places(own_ports=self._own_ports, hosts=self._hosts, services=self._services),
        )
        self.master = GateMaster(_options(settings, trusted))
        self._server = Proxyserver()
        self._certificates = Certificates(authority, trusted)
        self.master.addons.add(self._server, NextLayer(), tunnels, self.gate, self._certificates)
        self.master.addons.on_fault = self.exchanges.fault
        self.exchanges.relays.on_stale = self.addons.abort
        self.master.options.update(connection_strategy="lazy", validate_inbound_headers=True)

    @property
    def addons(self) -> ClosedAddons:
        """The closing addon manager, for its fault counts."""
        return self.master.addons

    def use_secrets(self, sources: Mapping[str, SecretSource], stores: Mapping[str, SecretStoreConfig]) -> None:
        """Take secrets from these sources from now on."""
        self.former_secrets = [*self.former_secrets, *self.secrets.known()][-_MOST_FORMER:]
        self.secrets = SecretStore(sources, stores=stores, client=self._client)
        self.admitter.use_secrets(self.secrets)
        self._loading = asyncio.create_task(self.secrets.load())

    def use_own_ports(self, ports: Iterable[int]) -> None:
        """These are ports of this service too, and no rule reaches them."""
        self._own_ports.update(ports)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a connection that another process accepted."""
        (instance,) = self._server.servers
        await instance.handle_stream(reader, writer)

    def use_hosts(self, hosts: Mapping[str, str] | None, services: Mapping[str, PrivateService] | None) -> None:
        """These names have addresses of their own from now on, and no others; None: as before."""
        if services is not None:
            self._services.clear()
            self._services.update(services)
        self._plain_hosts = self._plain_hosts if hosts is None else hosts
        self._hosts.clear()
        self._hosts.update(addresses_of(self._plain_hosts, self._services))

    def ready(self) -> int:
        """The port, once the proxy listens. Raises OSError with the reason if it does not."""
        addresses = self._server.listen_addrs()
        if not addresses:
            faults = [str(server.last_exception) for server in self._server.servers if server.last_exception]
            raise OSError("; ".join(faults) or "the proxy does not listen")
        port = int(addresses[0][1])
        self._own_ports.add(port)
        return port

    async def run(self) -> None:
        """Serve until `stop`."""
        aside = [asyncio.create_task(work) for work in (self._certificates.follow(), self._give_up_slow())]
        try:
            await self.master.run()
        finally:
            for task in aside:
                task.cancel()
            await self._server.servers.update([])
            for client_id in list(self._server.connections):
                self.addons.abort(client_id)
            lost = self.log.close()
            if lost:
                _log.error("%d events could not be written to the event file", lost)

    async def _give_up_slow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self.exchanges.relays.give_up_slow(self._patience, time.monotonic())

    def stop(self) -> None:
        """End `run`. May be called from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            self.master.shutdown()  # type: ignore[no-untyped-call]


def _generation(settings: EgressSettings) -> Generation:
    return Generation(
        number=settings.generation, rule_sets=settings.rule_sets, owners=settings.owners, terms=settings.terms
    )


def _event_log(settings: EgressSettings) -> EventLog:
    kept = settings.events
    file = settings.event_file and EventFile(settings.event_file, most_bytes=kept.file_bytes, most_files=kept.files)
    return EventLog(file or None, Metrics(settings.metrics_file), sync_s=kept.sync_ms / 1_000)


def _options(settings: EgressSettings, trusted: str) -> options.Options:
    return options.Options(
        listen_host=settings.listen_host,
        listen_port=settings.listen_port,
        mode=["regular"],
        confdir=str(Path(settings.state_dir) / "ca"),
        ssl_verify_upstream_trusted_ca=trusted,
        upstream_cert=False,
        http2=True,
        http3=False,
        websocket=False,
        rawtcp=False,
        tcp_timeout=_IDLE_TIMEOUT_S,
    )
