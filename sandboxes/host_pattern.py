"""Which hosts a rule names: `api.x.com`, `*.x.com` (one label), `**.x.com` (any depth), `**`."""

import re
from typing import Annotated

from pydantic import AfterValidator

from .hostname import canonical_host, is_address


def check_host_pattern(pattern: str) -> str:
    """`api.example.com`, `*.example.com` (one label), `**.example.com` (any depth) or `**` (every name)."""
    if pattern == "**":
        return pattern
    if pattern == "*":
        raise ValueError('"*" is not a host pattern; write "**" for every name, or name the hosts')
    if "://" in pattern or "/" in pattern:
        raise ValueError(f'"{pattern}" is a URL; write only the host here, and scheme, port and path in their fields')
    prefix, base = _split_wildcard(pattern)
    if "*" in base:
        raise ValueError(f'"{pattern}": a wildcard is a whole first label; write "*." or "**." and a domain')
    if re.search(r":\d+$", base) and not base.startswith("[") and base.count(":") == 1:
        raise ValueError(f'"{pattern}": write the port in ports, and "{pattern.rsplit(":", 1)[0]}" here')
    host = canonical_host(f"[{base}]" if base.count(":") > 1 and not base.startswith("[") else base)
    if prefix and is_address(host):
        raise ValueError(f'"{pattern}": an address has no subdomains; write "{base}"')
    return prefix + host


def _split_wildcard(pattern: str) -> tuple[str, str]:
    for prefix in ("**.", "*."):
        if pattern.startswith(prefix):
            return prefix, pattern.removeprefix(prefix)
    return "", pattern


def host_matches(pattern: str, host: str) -> bool:
    """A canonical host against `name`, `*.name` (one label more), `**.name` (one or more), `**` (any name)."""
    if pattern == host:
        return True
    if not pattern.startswith("*") or is_address(host):
        return False
    if pattern == "**":
        return True
    stars, _, base = pattern.partition(".")
    head = host.removesuffix(f".{base}")
    return head not in {host, ""} and (stars == "**" or "." not in head)


def host_covers(pattern: str, other: str) -> bool:
    """Whether `pattern` matches every host that the pattern `other` does."""
    stars, base = _split_wildcard(other)
    if not stars and other != "**":
        return host_matches(pattern, other)
    if pattern in {"**", other}:
        return True
    wide, top = _split_wildcard(pattern)
    return wide == "**." and other != "**" and (base == top or base.endswith(f".{top}"))


HostPattern = Annotated[str, AfterValidator(check_host_pattern)]
