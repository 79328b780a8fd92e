"""What the configuration says of addresses, for everybody who opens a connection."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from sandboxes.authority import Authority
from sandboxes.private_service import PrivateService

from .addresses import Allowance
from .client_certificate import ClientCertificate
from .dialer import Destination, Dial


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """The service's own ports, names with an address of their own, private services. Reloads change what it holds."""

    own_ports: Collection[int]
    hosts: dict[str, str]
    services: Mapping[str, PrivateService]

    def destination(
        self, authority: Authority, allowance: Allowance, certificate: ClientCertificate | None
    ) -> Destination:
        """Where a request that was let pass goes."""
        host, port = authority.host, authority.port
        return Destination.of(host, port, allowance, certificate, declared=self.hosts.get(host))

    def dial(self, destination: Destination) -> Dial:
        """An attempt to connect there, as the address guard checks it."""
        return Dial(destination.allowance, self.own_ports, self.hosts, destination[0], self.services)
