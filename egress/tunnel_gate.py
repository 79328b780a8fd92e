"""The addon for connections and tunnels: who may connect, where a CONNECT may go, which TLS belongs in it."""

import asyncio
import ipaddress

from mitmproxy import exceptions, http, tls
from mitmproxy.connection import Client

from .admitter import Admitter
from .bearer import bearer
from .carried import raw_target
from .exchange import Exchange
from .exchanges import Exchanges
from .flow import closed, response_of
from .http1 import limits
from .request import Denial, connect_authority
from .tunnel import Tunnel, sni_conflict


class TunnelGate:
    """Denies by default, and raises freely (`ClosedAddons`). What is inside a tunnel is decided by `Gate`."""

    def __init__(self, admitter: Admitter, exchanges: Exchanges) -> None:
        self._admitter = admitter
        self._exchanges = exchanges
        self._tunnels = exchanges.relays.tunnels
        self._barred: set[str] = set()
        self._unused: set[str] = set()

    def barred(self, client_id: str) -> bool:
        """Whether nothing goes on this client's connection, whatever it says."""
        return client_id in self._barred

    def used(self, client_id: str) -> None:
        """A request has come on this client's connection."""
        self._unused.discard(client_id)

    def client_connected(self, client: Client) -> None:
        """Only this machine speaks to the proxy."""
        if not ipaddress.ip_address(client.peername[0].partition("%")[0]).is_loopback:
            client.error = "not from this machine"

    def client_disconnected(self, client: Client) -> None:
        """Record what never came to an end."""
        self._barred.discard(client.id)
        self._unused.discard(client.id)
        self._exchanges.leave(client.id)

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Open a tunnel only to where its token's rules could let a request go."""
        exchange = self._exchanges.begin(flow)
        opened = self._open(flow, exchange)
        if isinstance(opened, Denial):
            flow.response = response_of(exchange.deny(opened))
            return
        self._tunnels[flow.client_conn.id] = opened

    def http_connected(self, flow: http.HTTPFlow) -> None:
        """A tunnel stands; it must be used within the time a request head has."""
        self._exchanges.end(flow, status=200)
        self._unused.add(flow.client_conn.id)
        asyncio.get_running_loop().call_later(limits.head_timeout_s, self._check_used, flow.client_conn.id)

    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        """A tunnel was refused."""
        self._exchanges.end(flow)

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """The server name of a tunnel's TLS must be the tunnel's host."""
        client = data.context.client
        tunnel = self._tunnels.get(client.id)
        conflict = sni_conflict(tunnel, data.client_hello.sni)
        if conflict is None:
            return
        self._barred.add(client.id)
        exchange = Exchange(method="CONNECT", host=tunnel.authority.host if tunnel else None)
        exchange.deny(Denial(code="authority", reason=conflict))
        self._exchanges.record(exchange)

    def tls_start_client(self, data: tls.TlsData) -> None:
        """No handshake for a barred client: without a context mitmproxy closes the connection."""
        if data.context.client.id in self._barred:
            raise exceptions.AddonHalt

    def _check_used(self, client_id: str) -> None:
        if client_id in self._unused:
            self._exchanges.relays.on_stale(client_id, None)

    def _open(self, flow: http.HTTPFlow, exchange: Exchange) -> Tunnel | Denial:
        headers = flow.request.headers.fields
        authority = connect_authority(raw_target(flow)[1], headers)
        if isinstance(authority, Denial):
            return authority
        exchange.host, exchange.port = authority.host, authority.port
        token = bearer(headers)
        claims = self._exchanges.identify(exchange, token)
        if isinstance(claims, Denial):
            return claims
        refused = self._admitter.admit_tunnel(claims, authority)
        if refused or isinstance(token, Denial):
            return refused or closed()
        exchange.allowed, exchange.code, exchange.reason = True, "allowed", "a tunnel; each request in it is decided"
        return Tunnel(authority, token, claims)
