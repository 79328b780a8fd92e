"""What kind of IP address one is: public, or one that only a rule's `networks` may open."""

import ipaddress

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that is assigned, RFC 4291 section 2.4
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
        ("::ffff:0:0:0/96", "an IPv4-translated address"),
        ("64:ff9b::/96", "a NAT64 address"),
        ("64:ff9b:1::/48", "a NAT64 address"),
        ("2002::/16", "a 6to4 address"),
        ("2001::/32", "a Teredo address"),
        ("fec0::/10", "a site-local address"),
        ("192.0.0.0/24", "reserved for protocols"),
        ("2001::/23", "reserved for protocols"),
        ("3fff::/20", "a documentation address"),
    )
)


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
    public = address.is_global and (address.version == 4 or address in _GLOBAL_UNICAST)  # noqa: PLR2004 - IP version 4
    return None if public else "a reserved address"
