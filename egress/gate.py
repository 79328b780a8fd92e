"""The addon that decides: mitmproxy's hooks on one side, admission, exchanges and records on the other."""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Collection, Mapping

from mitmproxy import exceptions, http, tls
from mitmproxy.connection import Client
from mitmproxy.net.http.http1 import connection_close
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from sandboxes.private_service import PrivateService
from sandboxes.token import TokenClaims

from .account import Exhausted
from .admission import Admission, BodyWanted
from .admitter import Admitter
from .bearer import bearer
from .body_record import BodyRecord
from .carried import announced, mark, raw_request, raw_target, rewrite
from .dialer import DIAL, Destination, Dial
from .events import EventLog
from .exchange import Exchange
from .expiry import ExpiryTimers
from .flow import EXCHANGE, body_length, closed, exchange_of, response_of
from .held import Held, HeldMemory
from .http1 import limits
from .ledger import Ledger
from .outgoing import Outgoing
from .placeholder_watch import PlaceholderWatch
from .relays import Relays
from .request import CanonicalRequest, Denial, connect_authority, read_request
from .returning import ReturnRefusedError
from .secrets import Unready
from .tunnel import Tunnel, sni_conflict


class Gate:
    """Denies by default. Raises freely: whatever a hook lets out closes what it was about (`ClosedAddons`)."""

    def __init__(
        self,
        *,
        admitter: Admitter,
        log: EventLog,
        own_ports: Collection[int],
        hosts: dict[str, str],
        services: Mapping[str, PrivateService],
    ) -> None:
        self._admitter = admitter
        self._log = log
        self._own_ports = own_ports
        self._hosts = hosts
        self._services = services
        self._memory = HeldMemory()
        self.ledger = Ledger()
        self.relays = Relays(admitter, self._record)
        self._expiry = ExpiryTimers(self._expired)
        self._barred: set[str] = set()
        self._unused: set[str] = set()

    # Connections

    def client_connected(self, client: Client) -> None:
        """Only this machine speaks to the proxy."""
        if not ipaddress.ip_address(client.peername[0].partition("%")[0]).is_loopback:
            client.error = "not from this machine"

    def client_disconnected(self, client: Client) -> None:
        """Record what never came to an end."""
        self._barred.discard(client.id)
        self._unused.discard(client.id)
        for exchange in self.relays.leave(client.id):
            if exchange.answer is None and exchange.code == "allowed":
                exchange.code, exchange.reason = "client_disconnected", "the client went away"
            self._record(exchange)

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """Arm the address guard for the connection that this task is about to open."""
        destination = data.server.address
        if not isinstance(destination, Destination) or data.server.via is not None:
            data.server.error = "nothing was decided about this connection"
            return
        if not data.client.alpn:
            data.server.alpn_offers = [b"http/1.1"]
        DIAL.set(Dial(destination.allowance, self._own_ports, self._hosts, destination[0], self._services))

    # Tunnels

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Open a tunnel only to where its token's rules could let a request go."""
        exchange = self._begin(flow)
        opened = self._open_tunnel(flow, exchange)
        if isinstance(opened, Denial):
            flow.response = response_of(exchange.deny(opened))
            return
        self.relays.tunnels[flow.client_conn.id] = opened

    def http_connected(self, flow: http.HTTPFlow) -> None:
        """A tunnel stands; it must be used within the time a request head has."""
        self._end(flow, status=200)
        self._unused.add(flow.client_conn.id)
        asyncio.get_running_loop().call_later(limits.head_timeout_s, self._check_used, flow.client_conn.id)

    def http_connect_error(self, flow: http.HTTPFlow) -> None:
        """A tunnel was refused."""
        self._end(flow)

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        """The server name of a tunnel's TLS must be the tunnel's host."""
        client = data.context.client
        tunnel = self.relays.tunnels.get(client.id)
        conflict = sni_conflict(tunnel, data.client_hello.sni)
        if conflict is None:
            return
        self._barred.add(client.id)
        exchange = Exchange(method="CONNECT", host=tunnel.authority.host if tunnel else None)
        exchange.deny(Denial(code="authority", reason=conflict))
        self._record(exchange)

    def tls_start_client(self, data: tls.TlsData) -> None:
        """No handshake for a barred client: without a context mitmproxy closes the connection."""
        if data.context.client.id in self._barred:
            raise exceptions.AddonHalt

    # Requests

    async def requestheaders(self, flow: http.HTTPFlow) -> None:
        """Decide, and put the request into the form it leaves in. Its body streams behind, or is held for steps."""
        self._unused.discard(flow.client_conn.id)
        exchange = self._begin(flow)
        denied = await self._settled(exchange, lambda: self._admit(flow, exchange))
        if isinstance(denied, Denial):
            answer = exchange.deny(denied)
            flow.response = None if flow.error else response_of(answer)
            return
        flow.request.stream = exchange.sending if exchange.held is None else False

    async def request(self, flow: http.HTTPFlow) -> None:
        """The request is complete. If it was held, its body is decided on now, and nothing has left before."""
        flow.request.trailers = None  # nothing was decided about them
        exchange = _required(flow)
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
        exchange = _required(flow)
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
        exchange = _required(flow)
        if flow.response is not None and flow.response.trailers:
            flow.response.trailers = exchange.returning.fields(flow.response.trailers)
        if exchange.cut and flow.killable:
            flow.kill()
        self._end(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        """The end of one that did not."""
        exchange = exchange_of(flow)
        if exchange is None:
            return
        if exchange.lease is not None and exchange.status is None:
            exchange.lease.failed()
        if exchange.allowed and exchange.answer is None and exchange.code == "allowed":
            exchange.fail("upstream_error", "the upstream's answer is not valid HTTP")
        self._end(flow)

    # Parts

    def _check_used(self, client_id: str) -> None:
        if client_id in self._unused:
            self.relays.on_stale(client_id, None)

    def _begin(self, flow: http.HTTPFlow) -> Exchange:
        exchange = Exchange(method=flow.request.method[:32])
        flow.metadata[EXCHANGE] = exchange
        self.relays.begin(flow.client_conn.id, exchange)
        if not self._log.healthy:
            raise RuntimeError("events cannot be recorded")
        return exchange

    def _end(self, flow: http.HTTPFlow, status: int | None = None) -> None:
        exchange = _required(flow)
        exchange.status = status or exchange.status
        self.relays.finish(flow.client_conn.id, exchange)
        self._record(exchange)

    def _record(self, exchange: Exchange) -> None:
        if exchange.recorded:
            return
        exchange.recorded = True
        if exchange.lease is not None:
            exchange.lease.end()
        if exchange.held is not None:
            exchange.held.release()
        self._log.put(exchange.event())

    def _expired(self, now: float) -> None:
        self.relays.end(lambda claims: claims.expires <= now, "expired", "the execution token expired")

    def fault(self, hook: str, error: BaseException) -> None:
        """Record that a hook failed; the kind of the error only, because its text may quote a request."""
        self._log.fault(hook, type(error).__name__)

    def _open_tunnel(self, flow: http.HTTPFlow, exchange: Exchange) -> Tunnel | Denial:
        headers = flow.request.headers.fields
        authority = connect_authority(raw_target(flow)[1], headers)
        if isinstance(authority, Denial):
            return authority
        exchange.host, exchange.port = authority.host, authority.port
        token = bearer(headers)
        claims = self._identify(exchange, token)
        if isinstance(claims, Denial):
            return claims
        refused = self._admitter.admit_tunnel(claims, authority)
        if refused or isinstance(token, Denial):
            return refused or closed()
        exchange.allowed, exchange.code, exchange.reason = True, "allowed", "a tunnel; each request in it is decided"
        return Tunnel(authority, token, claims)

    def _identify(self, exchange: Exchange, token: str | Denial) -> TokenClaims | Denial:
        claims = self._admitter.identify(token, time.time())
        if not isinstance(claims, Denial):
            exchange.claims = claims
            self._expiry.watch(claims.expires)
        return claims

    def _admit(self, flow: http.HTTPFlow, exchange: Exchange) -> Denial | Unready | None:
        if flow.error:
            return Denial(code="malformed", reason="the request is not valid HTTP", status=400)
        client = flow.client_conn
        tunnel = self.relays.tunnels.get(client.id)
        if client.id in self._barred:
            return closed()
        request = read_request(raw_request(flow, tunnel))
        if not isinstance(request, Denial):
            exchange.scheme, exchange.path = request.scheme, request.target.shown()
            exchange.host, exchange.port = request.authority.host, request.authority.port
        asked = flow.request.headers.fields
        token = tunnel.token if tunnel else bearer(asked)
        claims = self._identify(exchange, token)
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
        claims = self._admitter.identify(held.token, time.time())
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
        terms = self._admitter.terms(claims)
        lease = self.ledger.enter(claims, terms, asked, request.authority.host, time.time(), time.monotonic())
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
        host, port = request.authority.host, request.authority.port
        exchange.destination = Destination.of(
            host, port, allowance, admission.certificate, declared=self._hosts.get(host)
        )
        if rule is not None and rule.record_body_bytes:
            exchange.sent, exchange.came = BodyRecord(rule.record_body_bytes), BodyRecord(rule.record_body_bytes)
        exchange.screen, exchange.fixed = admission.screen, "content-length" in asked
        exchange.watch = PlaceholderWatch(admission.watched) if admission.watched else None


def _required(flow: http.HTTPFlow) -> Exchange:
    exchange = exchange_of(flow)
    if exchange is None:
        raise LookupError("a flow without an exchange")
    return exchange
