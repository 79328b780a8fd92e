"""What is open at present, and why it is closed before its end: a token that ended, a rule withdrawn, a standstill."""

from collections import defaultdict
from collections.abc import Callable

from sandboxes.egress import Patience
from sandboxes.token import TokenClaims

from .admitter import Admitter
from .answers import Answer
from .exchange import Exchange
from .patience import Overdue, overdue
from .request import Denial
from .tunnel import Tunnel


class Relays:
    """Tunnels and exchanges under way, by the id of their client's connection. `record` is told of what ends here."""

    def __init__(self, admitter: Admitter, record: Callable[[Exchange], None]) -> None:
        self._admitter = admitter
        self._record = record
        self.tunnels: dict[str, Tunnel] = {}
        self._open: defaultdict[str, list[Exchange]] = defaultdict(list)
        self.on_stale: Callable[[str, Answer | None], None] = lambda _client, _answer: None

    def begin(self, client_id: str, exchange: Exchange) -> None:
        """An exchange has begun."""
        self._open[client_id].append(exchange)

    def finish(self, client_id: str, exchange: Exchange) -> None:
        """An exchange came to its end."""
        waiting = self._open.get(client_id)
        if waiting and exchange in waiting:
            waiting.remove(exchange)

    def leave(self, client_id: str) -> list[Exchange]:
        """A client is gone, and its tunnel with it; gives its exchanges that came to no end."""
        self.tunnels.pop(client_id, None)
        return self._open.pop(client_id, [])

    def end(self, which: Callable[[TokenClaims], bool], code: str, reason: str) -> None:
        """Close every connection on which a tunnel or an exchange goes on under a token that `which` is true of."""
        tunnels = [client for client, tunnel in self.tunnels.items() if which(tunnel.claims)]
        self._end_relays(tunnels, lambda claims, _: which(claims), code, reason)

    def end_withdrawn(self) -> None:
        """Close what was let in by rules that are gone."""
        admits, admits_tunnel = self._admitter.still_admits, self._admitter.admit_tunnel
        tunnels = [client for client, t in self.tunnels.items() if admits_tunnel(t.claims, t.authority) is not None]
        reason = "the rule that let it pass was withdrawn by a reload"
        self._end_relays(tunnels, lambda claims, rule: not admits(claims, rule), "withdrawn", reason)

    def _end_relays(
        self, tunnels: list[str], which: Callable[[TokenClaims, str | None], bool], code: str, reason: str
    ) -> None:
        ended = set(tunnels)
        for client_id in tunnels:
            self._note_tunnel_closed(self.tunnels[client_id], code, reason)
        for client_id, exchanges in self._open.items():
            for exchange in exchanges:
                if exchange.claims is None or not (client_id in ended or which(exchange.claims, exchange.rule)):
                    continue
                exchange.cut_off(code, reason)
                ended.add(client_id)
        for client_id in ended:
            self.on_stale(client_id, None)

    def _note_tunnel_closed(self, tunnel: Tunnel, code: str, reason: str) -> None:
        exchange = Exchange(method="CONNECT", host=tunnel.authority.host, port=tunnel.authority.port)
        exchange.claims, exchange.allowed = tunnel.claims, True
        exchange.cut_off(code, reason)
        self._record(exchange)

    def give_up_slow(self, patience: Patience, now: float) -> None:
        """End exchanges that stand still for too long; `now` is monotonic."""
        for client_id, exchanges in list(self._open.items()):
            for exchange in list(exchanges):
                still, total = now - exchange.moved, now - exchange.started
                found = overdue(patience, exchange.phase, still, total, events=exchange.events)
                if found is not None and not exchange.cut:
                    self.on_stale(client_id, _slow(exchange, found))


def _slow(exchange: Exchange, found: Overdue) -> Answer | None:
    """Note that an exchange is given up; the answer that tells so, unless another one's head has left."""
    if exchange.phase == "receiving":
        exchange.cut_off("slow", found.reason)
        return None
    if found.by == "client":
        answer = exchange.deny(Denial(code="slow", reason=found.reason, status=408, rule=exchange.rule))
    else:
        answer = exchange.fail("upstream_timeout", found.reason)
    exchange.cut = True
    return answer
