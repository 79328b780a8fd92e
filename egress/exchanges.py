"""The life of exchanges and tunnels: begun by a hook, ended by another or by what ends their token, recorded once."""

import time

from mitmproxy import http

from sandboxes.token import TokenClaims

from .admitter import Admitter
from .events import EventLog
from .exchange import Exchange
from .expiry import ExpiryTimers
from .flow import EXCHANGE, required_exchange
from .identities import Identities
from .relays import Relays
from .request import Denial


class Exchanges:
    """Shared by the addons of one proxy."""

    def __init__(self, admitter: Admitter, identities: Identities, log: EventLog) -> None:
        self._identities = identities
        self._log = log
        self._expiry = ExpiryTimers(self._expired)
        self.relays = Relays(admitter, self.record)

    def begin(self, flow: http.HTTPFlow) -> Exchange:
        """A new one for a flow. Raises RuntimeError while events cannot be recorded."""
        exchange = Exchange(method=flow.request.method[:32])
        flow.metadata[EXCHANGE] = exchange
        self.relays.begin(flow.client_conn.id, exchange)
        if not self._log.healthy:
            raise RuntimeError("events cannot be recorded")
        return exchange

    def identify(self, exchange: Exchange, token: str | Denial) -> TokenClaims | Denial:
        """Who it is made for. From then on it ends with its token."""
        claims = self._identities.identify(token, time.time())
        if not isinstance(claims, Denial):
            exchange.claims = claims
            self._expiry.watch(claims.expires)
        return claims

    def end(self, flow: http.HTTPFlow, status: int | None = None) -> None:
        """That of a flow has come to its end."""
        exchange = required_exchange(flow)
        exchange.status = status or exchange.status
        self.relays.finish(flow.client_conn.id, exchange)
        self.record(exchange)

    def leave(self, client_id: str) -> None:
        """A client is gone: record what never came to an end."""
        for exchange in self.relays.leave(client_id):
            if exchange.answer is None and exchange.code == "allowed":
                exchange.code, exchange.reason = "client_disconnected", "the client went away"
            self.record(exchange)

    def record(self, exchange: Exchange) -> None:
        """Write its event, once, and give back what it held."""
        if exchange.recorded:
            return
        exchange.recorded = True
        if exchange.lease is not None:
            exchange.lease.end()
        if exchange.held is not None:
            exchange.held.release()
        self._log.put(exchange.event())

    def fault(self, hook: str, error: BaseException) -> None:
        """Record that a hook failed; the kind of the error only, because its text may quote a request."""
        self._log.fault(hook, type(error).__name__)

    def _expired(self, now: float) -> None:
        self.relays.end(lambda claims: claims.expires <= now, "expired", "the execution token expired")
