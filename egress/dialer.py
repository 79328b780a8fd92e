"""An event loop that connects only where a decision allows it: the check is in the connecting call itself."""

import asyncio
import ipaddress
import os
import socket
from collections.abc import Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from sandboxes.private_service import PrivateService, refuse_reserved

from .addresses import Allowance, refuse_address
from .client_certificate import ClientCertificate

CONNECT_TIMEOUT_S = 10.0
REFUSED = "address refused: "


class Destination(tuple[str, int]):  # noqa: SLOT001 - a tuple subclass cannot have slots with a value in them
    """A decided `(host, port)`. Connections do not serve rules that differ in allowance or client certificate.

    `declared` is the address that the configuration gives the name, if it does: a connection to another is no good.
    """

    allowance: Allowance
    certificate: ClientCertificate | None
    declared: str | None

    @classmethod
    def of(
        cls,
        host: str,
        port: int,
        allowance: Allowance,
        certificate: ClientCertificate | None = None,
        *,
        declared: str | None = None,
    ) -> "Destination":
        """The destination of a request that a rule with this allowance let pass."""
        made = cls((host, port))
        made.allowance = allowance
        made.certificate = certificate
        made.declared = declared
        return made

    def _all(self) -> tuple[object, ...]:
        return (*self, self.allowance, self.certificate, self.declared)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Destination) and self._all() == other._all()

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash(self._all())


@dataclass(frozen=True, slots=True)
class Dial:
    """One attempt to connect to `host`: what may be reached, and names that have an address of their own."""

    allowance: Allowance
    own_ports: Collection[int]
    hosts: dict[str, str] = field(default_factory=dict)
    host: str = ""
    services: Mapping[str, PrivateService] = field(default_factory=dict)


DIAL: ContextVar[Dial | None] = ContextVar("dial", default=None)


class AddressRefusedError(OSError):
    """The address guard's refusal. Its text starts with REFUSED, because mitmproxy hands on only the text."""

    def __init__(self, reason: str) -> None:
        super().__init__(REFUSED + reason)


class GuardedLoop(asyncio.SelectorEventLoop):
    """Refuses every connection that no `Dial` of its context allows. Listening sockets are not concerned."""

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Resolve; every answer must be permitted, or none is used."""
        dial = DIAL.get()
        if dial is None:
            return await super().getaddrinfo(host, port, **options)
        host = host.decode() if isinstance(host, bytes) else host  # as some libraries give it
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                answers = await super().getaddrinfo(dial.hosts.get(host, host), port, **options)
        except socket.gaierror:
            raise OSError("the name could not be resolved") from None
        except TimeoutError:
            raise OSError("resolving the name timed out") from None
        for *_, address in answers:
            _check(dial, address)
        return answers

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect to a permitted address within CONNECT_TIMEOUT_S."""
        dial = DIAL.get()
        if dial is None or sock.family not in {socket.AF_INET, socket.AF_INET6}:
            raise AddressRefusedError("nothing was decided about this connection")
        _check(dial, address)
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await super().sock_connect(sock, address)
        except TimeoutError:
            raise OSError("connecting timed out") from None
        except OSError as error:
            # asyncio's own text quotes the address, which a program need not learn
            what = os.strerror(error.errno).lower() if error.errno else "the system refused"
            raise OSError(f"connecting failed: {what}") from error


def _check(dial: Dial, address: tuple[Any, ...]) -> None:
    refusal = refuse_address(str(address[0]), int(address[1]), dial.allowance, dial.own_ports)
    if refusal is None and dial.services:
        refusal = refuse_reserved(dial.services, dial.host, ipaddress.ip_address(str(address[0]).partition("%")[0]))
    if refusal is not None:
        raise AddressRefusedError(refusal)
