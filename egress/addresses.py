"""Which IP addresses the proxy may connect to. Pure, apart from asking whether an address is this machine's own."""

import ipaddress
import socket
from collections.abc import Collection
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# Named one by one where ipaddress has no name for them, or counts them as global.
_SPECIAL: tuple[tuple[IPNetwork, str], ...] = tuple(
    (ipaddress.ip_network(network), name)
    for network, name in (
        ("169.254.169.254/32", "a cloud metadata service"),
        ("fd00:ec2::254/128", "a cloud metadata service"),
        ("100.100.100.200/32", "a cloud metadata service"),
        ("168.63.129.16/32", "a cloud metadata service"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("192.88.99.0/24", "a 6to4 relay"),
        ("::ffff:0:0/96", "an IPv4-mapped address"),
        ("::/96", "an IPv4-compatible address"),
        ("64:ff9b::/96", "a NAT64 address"),
        ("64:ff9b:1::/48", "a NAT64 address"),
        ("2002::/16", "a 6to4 address"),
        ("2001::/32", "a Teredo address"),
        ("fec0::/10", "a site-local address"),
    )
)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What a rule lets its requests connect to beyond the public network."""

    networks: tuple[IPNetwork, ...] = ()


def special_kind(address: Address) -> str | None:
    """What makes an address one that only a rule's `networks` may open, or None for a public unicast address."""
    if address.is_unspecified:
        return "the unspecified address"
    if address.is_loopback:
        return "a loopback address"
    for network, name in _SPECIAL:
        if address.version == network.version and address in network:
            return name
    if address.is_multicast:
        return "a multicast address"
    if address.is_link_local:
        return "a link-local address"
    if address.is_private:
        return "a private address"
    return None if address.is_global else "a reserved address"


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
