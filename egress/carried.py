"""mitmproxy's requests and responses in our terms: read as they came, written as they leave."""

from mitmproxy import http

from .answers import NOTE_HEADER, NOTE_PREFIX, note
from .exchange import Exchange
from .flow import RAW_TARGET
from .outgoing import Outgoing
from .request import RawRequest
from .returning import NO_BODY
from .tunnel import Tunnel


def raw_request(flow: http.HTTPFlow, tunnel: Tunnel | None) -> RawRequest:
    """A request as its client wrote it, with what is known of the connection it came on."""
    scheme, authority = raw_target(flow)
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


def raw_target(flow: http.HTTPFlow) -> tuple[str, str]:
    """Scheme and authority as the request line or the pseudo-headers had them; empty where they had none."""
    scheme, authority = getattr(flow.request, RAW_TARGET)
    return scheme.decode("latin-1"), _text(authority)


def _text(authority: bytes) -> str:
    """An authority's bytes as text: UTF-8 for IDNA names, else something no host name can be."""
    try:
        return authority.decode()
    except UnicodeDecodeError:
        return "\ufffd"


def rewrite(sent: http.Request, outgoing: Outgoing) -> None:
    """Give mitmproxy's request the canonical form: origin-form target, one Host, admitted headers."""
    host = outgoing.authority.header(outgoing.scheme)
    sent.data.scheme = outgoing.scheme.encode()
    sent.data.host, sent.data.port = outgoing.authority.host, outgoing.authority.port
    sent.data.path = outgoing.target.encode()
    sent.data.authority = host.encode() if sent.is_http2 else b""
    own = () if sent.is_http2 else ((b"Host", host.encode()),)
    sent.headers = http.Headers((*own, *outgoing.headers))


def announced(request: http.Request, response: http.Response) -> int:
    """Bytes of body that a response announces; 0 if it does not say or has none."""
    if request.method == "HEAD" or response.status_code in NO_BODY:
        return 0
    return _length(response.headers)


def _length(headers: http.Headers) -> int:
    """What Content-Length says; 0 if there is none."""
    said = headers.get("content-length", "")
    return int(said) if said.isdecimal() and said.isascii() and len(said) < 20 else 0  # noqa: PLR2004 - beyond 64 bits


def mark(exchange: Exchange, response: http.Response) -> None:
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
