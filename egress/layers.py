"""mitmproxy's protocol layers with the ways out closed: HTTP and TLS only, decided destinations only, JSON errors.

mitmproxy makes these classes by the names they have in its own modules, so `install` puts ours there.
"""

from mitmproxy import http
from mitmproxy.proxy import mode_servers
from mitmproxy.proxy.layers import http as layers
from mitmproxy.proxy.layers.http import _http1

from .connection import GateConnection
from .http1 import GateHttp1Client, GateHttp1Server, body_reader, error_response, limits
from .http2 import GateHttp2Server
from .stream import GateStream


def _unchecked(_data: http.MessageData) -> None:
    """In place of a check that every field has its declared type, twice a request, meant for mitmproxy's own tests."""


def install(head_timeout_s: float) -> None:
    """Make mitmproxy use these layers, in all of this process. Raises AttributeError if it has no such names."""
    limits.head_timeout_s = head_timeout_s
    http.MessageData.__post_init__ = _unchecked  # type: ignore[method-assign]
    replaced = {
        (layers, "HttpStream"): GateStream,
        (layers, "Http1Server"): GateHttp1Server,
        (layers, "Http1Client"): GateHttp1Client,
        (layers, "Http2Server"): GateHttp2Server,
        (mode_servers, "ProxyConnectionHandler"): GateConnection,
        (_http1, "make_error_response"): error_response,
        (_http1, "make_body_reader"): body_reader,
    }
    for (module, name), ours in replaced.items():
        getattr(module, name)
        setattr(module, name, ours)
