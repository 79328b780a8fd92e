"""One strict reading of host names, for rules, for the egress proxy and for whoever asks it.

Accepted: DNS names in their canonical spelling (RFC 1123 labels and underscores, lower-cased; IDNA 2008 labels
in either spelling, without mapping), dotted-quad IPv4, and IPv6 where the caller's syntax brackets it.
"""

import ipaddress
import re

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")


def canonical_host(text: str) -> str:
    """The one spelling of a host name or address; IPv6 without brackets. Raises ValueError saying what is wrong."""
    if text.startswith("["):
        return _ipv6(text)
    if not text:
        raise ValueError("the host is empty")
    if not text.isascii():
        return _idna(text)
    name = text.lower()
    if name.endswith("."):
        raise ValueError(f'write the host without the trailing dot: "{name.rstrip(".")}"')
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        return _ipv4(text)
    if len(name) > 253:  # noqa: PLR2004 - RFC 1035 section 2.3.4
        raise ValueError("the host name is longer than 253 characters")
    for label in labels:
        _check_label(label)
    return name


def is_address(host: str) -> bool:
    """Whether a canonical host is an address literal rather than a name."""
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _check_label(label: str) -> None:
    if not _LABEL.fullmatch(label):
        raise ValueError(f"{label[:80]!r} is not a host name label (letters, digits, inner hyphens, at most 63)")
    if label.startswith("xn--"):
        _check_alabel(label)


def _check_alabel(label: str) -> None:
    import idna  # noqa: PLC0415 - 4 MB that ASCII names never need

    try:
        if idna.encode(idna.decode(label)).decode() == label:
            return
    except (UnicodeError, idna.IDNAError):
        pass
    raise ValueError(f"{label!r} is not a valid IDNA label")


def _idna(text: str) -> str:
    import idna  # noqa: PLC0415 - as above

    try:
        # strict: only U+002E separates, and nothing is mapped, so that no two spellings meet here.
        return canonical_host(idna.encode(text, strict=True).decode())
    except idna.IDNAError as error:
        raise ValueError(f"{text[:80]!r} is not a valid IDNA name: {error}") from error


def _ipv4(text: str) -> str:
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError(f"{text[:80]!r} is not an IPv4 address in plain dotted-decimal form") from None


def _ipv6(text: str) -> str:
    inner = text[1:-1]
    if not text.endswith("]") or "%" in inner:
        raise ValueError(f"{text[:80]!r} is not an IPv6 address in brackets")
    try:
        return str(ipaddress.IPv6Address(inner))
    except ValueError:
        raise ValueError(f"{text[:80]!r} is not an IPv6 address in brackets") from None
