"""Which IP addresses the proxy may connect to. Pure, apart from asking whether an address is this machine's own."""

import ipaddress
import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sandboxes.address import Address, IPNetwork, special_kind


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a rule lets its requests connect to beyond the public network."""

    networks: tuple[IPNetwork, ...] = ()


def allowance_of(networks: Iterable[str]) -> Allowance:
    """The allowance of networks in CIDR form."""
    return Allowance(tuple(ipaddress.ip_network(text) for text in networks))


def refuse_address(text: str, port: int, allowance: Allowance, own_ports: Collection[int]) -> str | None:
    """Why `text:port` may not be connected to, or None."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return f"{text!r} is not an address"
    if port in own_ports and is_own(address):
        return f"port {port} of this machine belongs to Lockgate itself"
    kind = special_kind(address)
    if kind is None or any(address.version == net.version and address in net for net in allowance.networks):
        return None
    return f"{address} is {kind}, and the rule's networks do not name it"


def is_own(address: Address) -> bool:
    """Whether an address is this machine's own: it can be bound to here."""
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return is_own(mapped)
    if address.is_loopback or address.is_unspecified:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6  # noqa: PLR2004 - IP version 4
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError:
        return False
    return True
