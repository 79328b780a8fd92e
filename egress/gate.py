"""The addon that decides: mitmproxy's hooks on one side, admission, exchanges and records on the other."""

import asyncio
import ipaddress
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from dataclasses import dataclass

from mitmproxy import exceptions, http, tls
from mitmproxy.connection import Client
from mitmproxy.net.http.http1 import connection_close
from mitmproxy.proxy.server_hooks import ServerConnectionHookData

from sandboxes.authority import Authority
from sandboxes.egress import Patience
from sandboxes.hostname import canonical_host, is_address
from sandboxes.token import TokenClaims

from .account import Exhausted
from .admission import Admission, Admitter, BodyWanted, bearer, connect_authority
from .answers import NOTE_HEADER, NOTE_PREFIX, Answer, note
from .body_record import BodyRecord
from .dialer import DIAL, Destination, Dial
from .events import EventLog
from .exchange import Exchange
from .expiry import ExpiryTimers
from .held import Held, HeldMemory
from .layers import EXCHANGE, RAW_TARGET, body_length, closed, exchange_of, limits, response_of
from .ledger import Ledger
from .outgoing import Outgoing
from .patience import Overdue, overdue
from .placeholder_watch import PlaceholderWatch
from .request import CanonicalRequest, Denial, RawRequest, read_request
from .returning import NO_BODY, ReturnRefusedError
from .secrets import Unready


@dataclass(frozen=True, slots=True)
class Tunnel:
    """An open CONNECT: where it goes, and the token that every request in it is checked with again."""

    authority: Authority
    token: str
    claims: TokenClaims


class Gate:
    """Denies by default. Raises freely: whatever a hook lets out closes what it was about (`ClosedAddons`)."""

    def __init__(self, *, admitter: Admitter, log: EventLog, own_ports: Collection[int], hosts: dict[str, str]) -> None:
        self._admitter = admitter
        self._log = log
        self._own_ports = own_ports
        self._hosts = hosts
        self._memory = HeldMemory()
        self.ledger = Ledger()
        self._tunnels: dict[str, Tunnel] = {}
        self._expiry = ExpiryTimers(self._expired)
        self._barred: set[str] = set()
        self._unused: set[str] = set()
        self.on_stale: Callable[[str, Answer | None], None] = lambda _client, _answer: None
        self._open: defaultdict[str, list[Exchange]] = defaultdict(list)

    # Connections

    def client_connected(self, client: Client) -> None:
        """Only this machine speaks to the proxy."""
        if not ipaddress.ip_address(client.peername[0].partition("%")[0]).is_loopback:
            client.error = "not from this machine"

    def client_disconnected(self, client: Client) -> None:
        """Record what never came to an end."""
        self._tunnels.pop(client.id, None)
        self._barred.discard(client.id)
        self._unused.discard(client.id)
        for exchange in self._open.pop(client.id, []):
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
        DIAL.set(Dial(destination.allowance, self._own_ports, self._hosts))

    # Tunnels

    def http_connect(self, flow: http.HTTPFlow) -> None:
        """Open a tunnel only to where its token's rules could let a request go."""
        exchange = self._begin(flow)
        opened = self._open_tunnel(flow, exchange)
        if isinstance(opened, Denial):
            flow.response = response_of(exchange.deny(opened))
            return
        self._tunnels[flow.client_conn.id] = opened

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
        tunnel = self._tunnels.get(client.id)
        conflict = _sni_conflict(tunnel, data.client_hello.sni)
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
            if exchange.exhausted(exchange.lease.cannot_bring(_body_size(flow.request, response))):
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
        _mark(exchange, response)
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
            self.on_stale(client_id, None)

    def _begin(self, flow: http.HTTPFlow) -> Exchange:
        exchange = Exchange(method=flow.request.method[:32])
        flow.metadata[EXCHANGE] = exchange
        self._open[flow.client_conn.id].append(exchange)
        if not self._log.healthy:
            raise RuntimeError("events cannot be recorded")
        return exchange

    def _end(self, flow: http.HTTPFlow, status: int | None = None) -> None:
        exchange = _required(flow)
        exchange.status = status or exchange.status
        waiting = self._open.get(flow.client_conn.id)
        if waiting and exchange in waiting:
            waiting.remove(exchange)
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

    def end(self, which: Callable[[TokenClaims], bool], code: str, reason: str) -> None:
        """Close every connection on which a tunnel or an exchange goes on under a token that `which` is true of."""
        tunnels = [client for client, tunnel in self._tunnels.items() if which(tunnel.claims)]
        self._end_relays(tunnels, lambda claims, _: which(claims), code, reason)

    def end_withdrawn(self) -> None:
        """Close what was let in by rules that are gone."""
        admits, admits_tunnel = self._admitter.still_admits, self._admitter.admit_tunnel
        tunnels = [client for client, t in self._tunnels.items() if admits_tunnel(t.claims, t.authority) is not None]
        reason = "the rule that let it pass was withdrawn by a reload"
        self._end_relays(tunnels, lambda claims, rule: not admits(claims, rule), "withdrawn", reason)

    def _end_relays(
        self, tunnels: list[str], which: Callable[[TokenClaims, str | None], bool], code: str, reason: str
    ) -> None:
        ended = set(tunnels)
        for client_id in tunnels:
            self._note_tunnel_closed(self._tunnels[client_id], code, reason)
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

    def _expired(self, now: float) -> None:
        self.end(lambda claims: claims.expires <= now, "expired", "the execution token expired")

    def fault(self, hook: str, error: BaseException) -> None:
        """Record that a hook failed; the kind of the error only, because its text may quote a request."""
        self._log.fault(hook, type(error).__name__)

    def _open_tunnel(self, flow: http.HTTPFlow, exchange: Exchange) -> Tunnel | Denial:
        headers = flow.request.headers.fields
        authority = connect_authority(_raw_target(flow)[1], headers)
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
        tunnel = self._tunnels.get(client.id)
        if client.id in self._barred:
            return closed()
        request = read_request(_raw(flow, tunnel))
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


def rewrite(sent: http.Request, outgoing: Outgoing) -> None:
    """Give mitmproxy's request the canonical form: origin-form target, one Host, admitted headers."""
    host = outgoing.authority.header(outgoing.scheme)
    sent.data.scheme = outgoing.scheme.encode()
    sent.data.host, sent.data.port = outgoing.authority.host, outgoing.authority.port
    sent.data.path = outgoing.target.encode()
    sent.data.authority = host.encode() if sent.is_http2 else b""
    own = () if sent.is_http2 else ((b"Host", host.encode()),)
    sent.headers = http.Headers((*own, *outgoing.headers))


def _raw(flow: http.HTTPFlow, tunnel: Tunnel | None) -> RawRequest:
    scheme, authority = _raw_target(flow)
    secure = flow.client_conn.tls
    return RawRequest(
        method=flow.request.data.method.decode("latin-1"),  # mitmproxy's own property turns it into capitals
        scheme=scheme or ("https" if secure else "http"),
        target_authority=authority or None,
        target=flow.request.data.path.decode("latin-1"),
        headers=flow.request.headers.fields,
        secure=secure,
        tunnel=tunnel.authority if tunnel else None,
        sni=flow.client_conn.sni,
    )


def _raw_target(flow: http.HTTPFlow) -> tuple[str, str]:
    scheme, authority = getattr(flow.request, RAW_TARGET)
    return scheme.decode("latin-1"), _text(authority)


def _text(authority: bytes) -> str:
    """An authority's bytes as text: UTF-8 for IDNA names, else something no host name can be."""
    try:
        return authority.decode()
    except UnicodeDecodeError:
        return "\ufffd"


def _sni_conflict(tunnel: Tunnel | None, sni: str | None) -> str | None:
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


def _required(flow: http.HTTPFlow) -> Exchange:
    exchange = exchange_of(flow)
    if exchange is None:
        raise LookupError("a flow without an exchange")
    return exchange


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


def _body_size(request: http.Request, response: http.Response) -> int:
    """Bytes of body that a response announces; 0 if it does not say or has none."""
    if request.method == "HEAD" or response.status_code in NO_BODY:
        return 0
    return _length(response.headers)


def _length(headers: http.Headers) -> int:
    """What Content-Length says; 0 if there is none."""
    said = headers.get("content-length", "")
    return int(said) if said.isdecimal() and said.isascii() and len(said) < 20 else 0  # noqa: PLR2004 - beyond 64 bits


def _mark(exchange: Exchange, response: http.Response) -> None:
    """Put the note on a response, and take off what only the proxy says."""
    kept = [
        (name, value)
        for name, value in response.headers.fields
        if not name.lower().startswith(NOTE_PREFIX) and name.lower() not in {b"alt-svc", b"proxy-authenticate"}
    ]
    left = exchange.lease.bytes_left() if exchange.lease is not None else None
    header = note(
        allowed=True, rule=exchange.rule, credential=exchange.credential, reason=exchange.reason, bytes_left=left
    )
    response.headers = http.Headers([*kept, (NOTE_HEADER, header)])
