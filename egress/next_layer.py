"""Which protocol is spoken on a connection: HTTP, or TLS with HTTP inside; nothing else exists here."""

from mitmproxy.net.tls import starts_like_tls_record
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.layers import ClientTLSLayer, ServerTLSLayer, modes
from mitmproxy.proxy.layers.http import HttpLayer, HTTPMode

from .stream import Commands


class NextLayer:
    """Chooses protocols: a plain HTTP proxy outside, HTTP or TLS with HTTP in tunnels. Nothing else exists here."""

    name = "nextlayer"

    def next_layer(self, nextlayer: layer.NextLayer) -> None:
        """Set the next layer; a hook of mitmproxy."""
        context = nextlayer.context
        if len(context.layers) == 1 and isinstance(context.layers[0], modes.HttpProxy):
            nextlayer.layer = HttpLayer(context, HTTPMode.regular)
            return
        data: bytes = nextlayer.data_client()
        if context.client.tls or (data and data[0] != 0x16):  # noqa: PLR2004 - a TLS handshake record
            nextlayer.layer = HttpLayer(context, HTTPMode.transparent)
        elif starts_like_tls_record(data):
            server = ServerTLSLayer(context)
            server.child_layer = ClientTLSLayer(context)
            nextlayer.layer = server
        elif len(data) > 2:  # noqa: PLR2004 - enough to know that it is not TLS
            nextlayer.layer = Refuse(context)


class Refuse(layer.Layer):
    """Closes the client's connection, whatever comes."""

    def _handle_event(self, _event: events.Event) -> Commands:
        yield commands.CloseConnection(self.context.client)


def refusing_layer(context: Context) -> layer.Layer:
    """The layer for a connection that nothing may come of."""
    return Refuse(context)
