"""How clients ask: in absolute form as the gateway does, and through CONNECT, by HTTP/1 and by HTTP/2."""

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pytest

from tests.egress import http2
from tests.egress.lab import Reply, Wire, World, render


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request: `host` as it is written, `headers` in order."""

    host: str
    port: int
    token: str | None
    path: str = "/"
    method: str = "GET"
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    def lines(self, target: str) -> str:
        length = [] if self.body is None else [f"Content-Length: {len(self.body)}"]
        fields = [f"Host: {self.authority}", *(f"{name}: {value}" for name, value in self.headers), *length]
        return "\n".join([f"{self.method} {target} HTTP/1.1", *fields])


type Ask = Callable[[World, Asked], Reply]


def plainly(world: World, asked: Asked) -> Reply:
    """http:// in absolute form."""
    return _once(world.lab.wire(), asked, f"http://{asked.authority}{asked.path}", asked.token)


def securely(world: World, asked: Asked) -> Reply:
    """https:// in absolute form, as the gateway sends tool calls and fetches."""
    return _once(world.lab.wire(), asked, f"https://{asked.authority}{asked.path}", asked.token)


def in_a_plain_tunnel(world: World, asked: Asked) -> Reply:
    """CONNECT, and HTTP/1 in clear inside."""
    wire, reply = _tunnel(world, asked)
    return reply if reply.status != 200 else _once(wire, asked, asked.path, None)


def in_a_tunnel(world: World, asked: Asked) -> Reply:
    """CONNECT, TLS, HTTP/1: what foreign clients do."""
    wire, reply = _tunnel(world, asked)
    if reply.status != 200:
        return reply
    try:
        return _once(world.lab.secure(wire, _server_name(asked.host)), asked, asked.path, None)
    except (ssl.SSLError, ConnectionError, EOFError):
        return Reply(0, [], b"")


def over_http2(world: World, asked: Asked) -> Reply:
    """CONNECT, TLS, HTTP/2."""
    wire, reply = _tunnel(world, asked)
    if reply.status != 200:
        return reply
    try:
        inner = world.lab.secure(wire, _server_name(asked.host), ["h2"])
    except (ssl.SSLError, ConnectionError):
        return Reply(0, [], b"")
    return http2.exchange(
        inner, asked.authority, method=asked.method, path=asked.path, headers=asked.headers, body=asked.body
    )


ASKERS = [plainly, securely, in_a_plain_tunnel, in_a_tunnel, over_http2]
EVERY_WAY = pytest.mark.parametrize("ask", ASKERS)
TO_HTTPS = pytest.mark.parametrize("ask", [securely, in_a_tunnel, over_http2])


def port_of(world: World, ask: Ask) -> int:
    """The port of the origin that speaks what `ask` does."""
    return world.plain.port if ask in {plainly, in_a_plain_tunnel} else world.secure.port


def refused(world: World, ask: Ask, asked: Asked) -> str:
    """The code of a refusal, empty where the proxy just closed; nothing may have reached an origin."""
    connections = world.plain.connections, world.secure.connections
    reply = ask(world, asked)
    assert reply.status in {0, 400, 403}, reply
    assert (world.plain.received, world.secure.received) == ([], [])
    assert (world.plain.connections, world.secure.connections) == connections
    return reply.json()["code"] if reply.body else ""


def _tunnel(world: World, asked: Asked) -> tuple[Wire, Reply]:
    wire = world.lab.wire()
    wire.send(render(f"CONNECT {asked.authority} HTTP/1.1\nHost: {asked.authority}", asked.token))
    return wire, wire.reply(connect=True)


def _once(wire: Wire, asked: Asked, target: str, token: str | None) -> Reply:
    wire.send(render(asked.lines(target), token) + (asked.body or b""))
    try:
        return wire.reply(head=asked.method == "HEAD")
    except (EOFError, ConnectionError):
        return Reply(0, [], b"")


def _server_name(host: str) -> str:
    return host.removeprefix("[").removesuffix("]")
