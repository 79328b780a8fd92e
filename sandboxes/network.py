"""Networks beyond the public one that a rule may name, in CIDR form."""

import ipaddress
from typing import Annotated

from pydantic import AfterValidator


def check_network(text: str) -> str:
    """A network in CIDR form: `10.1.0.0/16`, `127.0.0.1/32`, `::1/128`."""
    try:
        return str(ipaddress.ip_network(text))
    except ValueError:
        pass
    try:
        wider = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise ValueError(f'"{text}" is not a network; write one like "10.1.0.0/16" or "127.0.0.1/32"') from None
    exact = f"{text.partition('/')[0]}/{wider.max_prefixlen}"
    raise ValueError(f'"{text}" has bits below its mask; write "{wider}" for the network or "{exact}" for one address')


def network_covers(wide: str, narrow: str) -> bool:
    """Whether every address of the one network is of the other."""
    networks = ipaddress.ip_network(wide), ipaddress.ip_network(narrow)
    return networks[0].version == networks[1].version and networks[0].supernet_of(networks[1])  # type: ignore[arg-type]


Network = Annotated[str, AfterValidator(check_network)]
