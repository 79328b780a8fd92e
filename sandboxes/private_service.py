"""Private services that an operator declares by name, and which requests reach them. Pure."""

import ipaddress
from collections.abc import Mapping
from typing import Self

from pydantic import Field, model_validator

from .address import Address
from .egress_rule import EgressRule, Port
from .hostname import is_address
from .hosts import HostAddress, HostName
from .model import FrozenModel
from .network import Network


class PrivateService(FrozenModel):
    """Where a private service is. Only a rule that names it among its hosts, and its network, reaches it."""

    address: HostAddress = Field(description="Its IPv4 or IPv6 address.")
    port: Port = Field(description="Its only port.")
    network: Network = Field(description="The network it stands in, in CIDR form.")

    @model_validator(mode="after")
    def _inside(self) -> Self:
        if ipaddress.ip_address(self.address) not in ipaddress.ip_network(self.network):
            raise ValueError(f"the address {self.address} is not in the network {self.network}")
        return self


PrivateServices = dict[HostName, PrivateService]


def addresses_of(hosts: Mapping[str, str], services: Mapping[str, PrivateService]) -> dict[str, str]:
    """Every name that has an address of its own, instead of DNS."""
    return {**hosts, **{name: service.address for name, service in services.items()}}


def refuse_service(services: Mapping[str, PrivateService], rule: EgressRule | None, host: str, port: int) -> str | None:
    """Why a request that this rule lets pass may not go to a private service after all, or None."""
    service = services.get(host)
    if service is None:
        return refuse_reserved(services, host, ipaddress.ip_address(host)) if is_address(host) else None
    if rule is None or host not in rule.hosts:
        return f'"{host}" is a private service, and the rule\'s hosts do not name it'
    if port != service.port:
        return f'the private service "{host}" is at port {service.port}, not {port}'
    return None


def refuse_reserved(services: Mapping[str, PrivateService], host: str, address: Address) -> str | None:
    """Why a connection made for `host` may not go to this address: it is that of a service with another name."""
    plain = str(getattr(address, "ipv4_mapped", None) or address)
    if host in services and services[host].address == plain:
        return None
    if any(service.address == plain for service in services.values()):
        return f"{address} is the address of a private service, which is reached by its name only"
    return None
