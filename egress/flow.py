"""What a flow of mitmproxy's carries for the gate: its exchange, the target as it was written, an answer of ours."""

from mitmproxy import http

from .answers import Answer
from .exchange import Exchange
from .request import Denial

EXCHANGE = "lockgate"
RAW_TARGET = "lockgate_target"
BODILESS = "lockgate_bodiless"


def exchange_of(flow: http.HTTPFlow) -> Exchange | None:
    """The exchange that the gate attached to a flow."""
    found = flow.metadata.get(EXCHANGE)
    return found if isinstance(found, Exchange) else None


def required_exchange(flow: http.HTTPFlow) -> Exchange:
    """The same. Raises LookupError for a flow that the gate has not seen."""
    exchange = exchange_of(flow)
    if exchange is None:
        raise LookupError("a flow without an exchange")
    return exchange


def body_length(request: http.Request) -> int | None:
    """What the framing says of the body's length: None for one that is counted only as it comes."""
    if getattr(request, BODILESS):
        return 0
    said = request.headers.get("content-length")
    return None if said is None else int(said)


def response_of(answer: Answer) -> http.Response:
    """An answer of the proxy's own in mitmproxy's form."""
    return http.Response.make(answer.status, answer.body, http.Headers(answer.headers))


def closed() -> Denial:
    """The refusal where something in the proxy itself failed."""
    return Denial(code="closed", reason="the egress proxy failed while deciding, so it refused", status=403)
