"""The addon that decides on requests: mitmproxy's hooks on one side, admission and exchanges on the other."""

import time
from collections.abc import Callable

from mitmproxy import http
from mitmproxy.net.http.http1 import connection_close
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from sandboxes.token import TokenClaims

from .account import Exhausted
from .admission import Admission, BodyWanted
from .admitter import Admitter
from .bearer import bearer
from .body_record import BodyRecord
from .carried import announced, mark, raw_request, rewrite
from .dialer import DIAL, Destination
from .exchange import Exchange
from .exchanges import Exchanges
from .flow import body_length, closed, exchange_of, required_exchange, response_of
from .held import Held, HeldMemory
from .identities import Identities
from .ledger import Ledger
from .outgoing import Outgoing
from .placeholder_watch import PlaceholderWatch
from .places import Places
from .request import CanonicalRequest, Denial, read_request
from .returning import ReturnRefusedError
from .secrets import Unready
from .tunnel_gate import TunnelGate


class Gate:
    """Denies by default. Raises freely: whatever a hook lets out closes what it was about (`ClosedAddons`)."""

    def __init__(  # noqa: PLR0913 - one argument for each thing it goes by, all by name
        self,
        *,
        admitter: Admitter,
        identities: Identities,
        exchanges: Exchanges,
        tunnels: TunnelGate,
        ledger: Ledger,
        places: Places,
    ) -> None:
        self._admitter = admitter
        self._identities = identities
        self._exchanges = exchanges
        self._tunnels = tunnels
        self._ledger = ledger
        self._places = places
        self._memory = HeldMemory()

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """Arm the address guard for the connection that this task is about to open."""
        destination = data.server.address
        if not isinstance(destination, Destination) or data.server.via is not None:
            data.server.error = "nothing was decided about this connection"
            return
        if not data.client.alpn:
            data.server.alpn_offers = [b"http/1.1"]
        DIAL.set(self._places.dial(destination))

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Decide, and put the request into the form it leaves in. Its body streams behind, or is held for steps."""
        self._tunnels.used(flow.client_conn.id)
        exchange = self._exchanges.begin(flow)
        denied = await self._settled(exchange, lambda: self._admit(flow, exchange))
        if isinstance(denied, Denial):
            answer = exchange.deny(denied)
            flow.response = None if flow.error else response_of(answer)
            return
        flow.request.stream = exchange.sending if exchange.held is None else False

    async def request(self, flow: http.HTTPFlow) -> None:
        """The request is complete. If it was held, its body is decided on now, and nothing has left before."""
        flow.request.trailers = None  # nothing was decided about them
        exchange = required_exchange(flow)
        if exchange.held is None or exchange.answer is not None:
            return
        held = exchange.held
        outgoing = await self._settled(exchange, lambda: self._finish(flow, exchange, held))
        if not isinstance(outgoing, Outgoing):
            flow.response = response_of(exchange.deny(outgoing or closed()))
            return
        spent = exchange.lease.sends(len(outgoing.body), sent=False) if exchange.lease else None
        if spent is not None:
            flow.response = response_of(exchange.deny(spent.denial(exchange.rule)))
            return
        rewrite(flow.request, outgoing)
        flow.request.raw_content = outgoing.body
        exchange.bytes_out = len(outgoing.body)
        if exchange.sent is not None:
            exchange.sent.add(outgoing.body)

    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """Add the note, take out what must not come back. The body streams behind."""
        exchange = required_exchange(flow)
        response = flow.response
        if exchange.answer is not None or response is None:
            return
        exchange.status = response.status_code
        exchange.events = response.headers.get("content-type", "").startswith("text/event-stream")
        if exchange.lease is not None:
            exchange.lease.answered(response.status_code, response.headers.get("location"))
            if exchange.exhausted(exchange.lease.cannot_bring(announced(flow.request, response))):
                flow.kill()
                return
        exchange.address = (flow.server_conn.peername or (None,))[0]
        exchange.tls = flow.server_conn.tls_version
        try:
            exchange.returning.head(flow.request, response)
        except ReturnRefusedError as error:
            exchange.fail("response_refused", str(error))
            flow.kill()
            return
        if "content-encoding" in response.headers:
            exchange.came = None  # a coding that nobody has looked into
        mark(exchange, response)
        if exchange.last:
            response.headers["connection"] = "close"
        response.stream = exchange.receiving

    def response(self, flow: http.HTTPFlow) -> None:
        """The end of an exchange that came to one."""
        exchange = required_exchange(flow)
        if flow.response is not None and flow.response.trailers:
            flow.response.trailers = exchange.returning.fields(flow.response.trailers)
        if exchange.cut and flow.killable:
            flow.kill()
        self._exchanges.end(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """The end of one that did not."""
        exchange = exchange_of(flow)
        if exchange is None:
            return
        if exchange.lease is not None and exchange.status is None:
            exchange.lease.failed()
        if exchange.allowed and exchange.answer is None and exchange.code == "allowed":
            exchange.fail("upstream_error", "the upstream's answer is not valid HTTP")
        self._exchanges.end(flow)

    def _admit(self, flow: http.HTTPFlow, exchange: Exchange) -> Denial | Unready | None:
        if flow.error:
            return Denial(code="malformed", reason="the request is not valid HTTP", status=400)
        client = flow.client_conn
        tunnel = self._exchanges.relays.tunnels.get(client.id)
        if self._tunnels.barred(client.id):
            return closed()
        request = read_request(raw_request(flow, tunnel))
        if not isinstance(request, Denial):
            exchange.scheme, exchange.path = request.scheme, request.target.shown()
            exchange.host, exchange.port = request.authority.host, request.authority.port
        asked = flow.request.headers.fields
        token = tunnel.token if tunnel else bearer(asked)
        claims = self._exchanges.identify(exchange, token)
        if isinstance(claims, Denial):
            return claims
        if isinstance(request, Denial):
            return request
        length = body_length(flow.request)
        if spent := self._enter(exchange, claims, request, length or 0):
            return spent
        admission = self._admitter.admit(claims, request, asked, body_length=length)
        if isinstance(admission, Denial | Unready):
            return admission
        if isinstance(admission, Admission):
            self._apply(flow, exchange, request, admission)
            if not admission.steps:
                return None
        exchange.held = Held(self._memory, asked, request, token, admission)
        return exchange.held.refused

    async def _settled(
        self, exchange: Exchange, attempt: Callable[[], Outgoing | Denial | Unready | None]
    ) -> Outgoing | Denial | None:
        """What the attempt gives; if a secret was not ready, that of a second one when it is."""
        settled = attempt()
        if isinstance(settled, Unready):
            await settled.wait()
            # All of it anew, unless the client has gone: meanwhile token and rules may have ended.
            settled = closed() if exchange.recorded else attempt()
        if isinstance(settled, Unready):
            return Denial(code="secret", reason=f'secret "{settled.name}" is not ready; try again')
        return settled

    def _finish(self, flow: http.HTTPFlow, exchange: Exchange, held: Held) -> Outgoing | Denial | Unready:
        """The held request as it leaves; its token may have ended while the body came."""
        claims = self._identities.identify(held.token, time.time())
        if isinstance(claims, Denial):
            return claims
        body = held.body(flow.request.raw_content or b"")
        if isinstance(body, Denial):
            return body
        admission = held.admission
        if not isinstance(admission, Admission):
            decided = self._admitter.admit(claims, held.request, held.asked, body=body)
            if not isinstance(decided, Admission):
                return closed() if isinstance(decided, BodyWanted) else decided
            admission = decided
            self._apply(flow, exchange, held.request, admission)
        return held.outgoing(admission, body)

    def _enter(self, exchange: Exchange, claims: TokenClaims, request: CanonicalRequest, size: int) -> Denial | None:
        """Count the request once, or tell which budget it would overdraw."""
        if exchange.lease is not None:
            return None
        query = f"?{request.target.query}" if request.target.query is not None else ""
        host = request.authority.header(request.scheme)
        asked = (request.method, f"{request.scheme}://{host}{request.target.path}{query}")
        terms = self._identities.terms(claims)
        lease = self._ledger.enter(claims, terms, asked, request.authority.host, time.time(), time.monotonic())
        if isinstance(lease, Exhausted):
            return lease.denial()
        exchange.lease = lease
        spent = lease.cannot_send(size)
        return spent.denial() if spent else None

    def _apply(self, flow: http.HTTPFlow, exchange: Exchange, request: CanonicalRequest, admission: Admission) -> None:
        rule = admission.decision.rule
        exchange.allowed, exchange.code, exchange.reason = True, "allowed", admission.decision.reason
        exchange.rule, exchange.credential = rule.name if rule else None, admission.credential
        if admission.would_deny is not None:
            exchange.would_deny, exchange.hint = admission.would_deny.code, admission.would_deny.hint
        if exchange.claims is not None:
            exchange.returning = self._admitter.returning(exchange.claims, admission)
        asked = flow.request.headers
        rewrite(flow.request, admission.outgoing(request))
        allowance = self._admitter.allowance(admission.decision)
        exchange.last = not flow.request.is_http2 and connection_close(flow.request.http_version, asked)
        exchange.destination = self._places.destination(request.authority, allowance, admission.certificate)
        if rule is not None and rule.record_body_bytes:
            exchange.sent, exchange.came = BodyRecord(rule.record_body_bytes), BodyRecord(rule.record_body_bytes)
        exchange.screen, exchange.fixed = admission.screen, "content-length" in asked
        exchange.watch = PlaceholderWatch(admission.watched) if admission.watched else None
