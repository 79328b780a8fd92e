"""Host names that have an address of their own, instead of what DNS says."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator

from .hostname import canonical_host, is_address


def _check_name(name: str) -> str:
    if canonical_host(name) != name or is_address(name):
        raise ValueError(f'expected a host name in lower case, not "{name}"')
    return name


def _check_address(address: str) -> str:
    try:
        return str(ipaddress.ip_address(address))
    except ValueError:
        raise ValueError(f'expected an IPv4 or IPv6 address, not "{address}"') from None


HostName = Annotated[str, AfterValidator(_check_name)]
"""A name in its canonical spelling, never an address."""
HostAddress = Annotated[str, AfterValidator(_check_address)]
Hosts = dict[HostName, HostAddress]
