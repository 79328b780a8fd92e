"""One strict reading of `host[:port]`, and the check that everything a request says about it agrees."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from .egress_rule import DEFAULT_PORTS
from .hostname import canonical_host

_AUTHORITY = re.compile(r"(\[[^\[\]@]*\]|[^\[\]@:/?#\\]*)(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Authority:
    """A canonical host (IPv6 without brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"

    def header(self, scheme: str) -> str:
        """As the Host header writes it: without the port where the scheme implies it."""
        return bracketed(self.host) if DEFAULT_PORTS.get(scheme) == self.port else str(self)


def bracketed(host: str) -> str:
    """A canonical host as URLs write it."""
    return f"[{host}]" if ":" in host else host


def parse_authority(text: str, default_port: int | None) -> Authority:
    """`host[:port]` (RFC 3986 section 3.2) without user information. Raises ValueError saying what is wrong."""
    if "@" in text:
        raise ValueError("user information in an authority is refused")
    match = _AUTHORITY.fullmatch(text)
    if match is None or "%" in text:
        raise ValueError(f"{text[:80]!r} is not host:port")
    port = int(match[2]) if match[2] else default_port
    if port is None or not 1 <= port <= 65535:  # noqa: PLR2004 - the range of ports
        raise ValueError(f"{text[:80]!r} has no valid port")
    return Authority(canonical_host(match[1]), port)


def agree(named: Mapping[str, Authority]) -> tuple[Authority | None, str]:
    """The one authority that all of `named` (what said it -> what it said) give, or None and who disagrees."""
    values = list(named.items())
    first_name, first = values[0]
    for name, value in values[1:]:
        if value != first:
            return None, f"{first_name} says {first} and {name} says {value}"
    return first, ""
