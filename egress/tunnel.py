"""An open CONNECT, and the TLS in it."""

from dataclasses import dataclass

from sandboxes.authority import Authority
from sandboxes.hostname import canonical_host, is_address
from sandboxes.token import TokenClaims


@dataclass(frozen=True, slots=True)
class Tunnel:
    """An open CONNECT: where it goes, and the token that every request in it is checked with again."""

    authority: Authority
    token: str
    claims: TokenClaims


def sni_conflict(tunnel: Tunnel | None, sni: str | None) -> str | None:
    """Why TLS that names this server does not belong in the tunnel, or None."""
    if tunnel is None:
        return "TLS outside a tunnel"
    host = tunnel.authority.host
    if sni is None:
        return None if is_address(host) else f"the tunnel goes to {host} and its TLS names no server"
    try:
        named = canonical_host(sni)
    except ValueError as error:
        return f"the TLS server name is malformed: {error}"
    return None if named == host else f"the tunnel goes to {host} and its TLS names {named}"
