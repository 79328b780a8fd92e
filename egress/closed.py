"""One wrapper around every hook of every addon: whatever raises or hangs denies, and is counted."""

import asyncio
import inspect
from collections import Counter
from collections.abc import Callable
from typing import Any

from mitmproxy import exceptions, hooks, http, master, options, tls
from mitmproxy.addonmanager import AddonManager
from mitmproxy.connection import Client
from mitmproxy.proxy import layer, server_hooks

from .answers import Answer
from .flow import closed, exchange_of
from .next_layer import refusing_layer

HOOK_TIMEOUT_S = 10.0
# After these, mitmproxy looks whether the flow was killed, and then sends nothing on.
_CHECKED = frozenset({"requestheaders", "request", "responseheaders", "response", "http_connect"})
# Where the gate itself halts the chain: without a context, the handshake is refused.
_MAY_HALT = frozenset({"tls_start_client"})
_DECIDING = frozenset({"requestheaders", "request", "http_connect"})
Fault = Callable[[str, BaseException], None]


class ClosedAddons(AddonManager):
    """mitmproxy's addon manager, which logs what a hook raises and goes on. This one closes instead."""

    def __init__(self, gate_master: master.Master) -> None:
        super().__init__(gate_master)  # type: ignore[no-untyped-call]
        self.faults: Counter[str] = Counter()
        self.on_fault: Fault | None = None
        self.hook_timeout_s = HOOK_TIMEOUT_S
        self._hooks: dict[str, list[Callable[..., Any]]] = {}

    def add(self, *addons: Any) -> None:
        """Add addons at the end of the chain. What `load` raises is raised here."""
        super().add(*addons)  # type: ignore[no-untyped-call]
        self._hooks.clear()

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """A hook of a connection or a flow."""
        await self.trigger_event(event)

    async def trigger_event(self, event: hooks.Hook) -> None:
        """Call every addon's hook; on the first that fails or leaves a request undecided, close what it was about.

        A hook that waits is given `hook_timeout_s`; one that computes without end stands still with all the proxy.
        """
        try:
            for hook in self._hooks_named(event):
                result = hook(*event.args())
                if inspect.isawaitable(result):
                    async with asyncio.timeout(self.hook_timeout_s):
                        await result
            _check_decided(event)
        except exceptions.AddonHalt as error:
            if event.name not in _MAY_HALT:
                self._fail(event, error)
        except BaseException as error:  # the point of this class
            self._fail(event, error)
            task = asyncio.current_task()
            if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
                raise

    def trigger(self, event: hooks.Hook) -> None:
        """Configuration hooks: at start only, and an error there ends the start."""
        for addon in self.chain:
            self.invoke_addon_sync(addon, event)

    def _hooks_named(self, event: hooks.Hook) -> list[Callable[..., Any]]:
        found = self._hooks.get(event.name)
        if found is None:
            found = [hook for addon in self.chain for _, hook in self._iter_hooks(addon, event)]
            self._hooks[event.name] = found
        return found

    def _fail(self, event: hooks.Hook, error: BaseException) -> None:
        self.faults[event.name] += 1
        subject = event.args()[0] if event.args() else None
        try:
            self._close(event.name, subject)
        finally:
            if self.on_fault is not None:
                self.on_fault(event.name, error)

    def _close(self, name: str, subject: Any) -> None:
        client = close_subject(subject)
        checked = name in _CHECKED and not (name == "request" and subject.request.stream)
        if client is not None and not checked:
            self.abort(client.id)

    def abort(self, client_id: object, answer: Answer | None = None) -> None:
        """Close a client's connection and everything opened for it, now."""
        handler = self.get("proxyserver").connections.get(client_id)  # type: ignore[no-untyped-call]
        if handler is not None:
            handler.abort(answer)


def _check_decided(event: hooks.Hook) -> None:
    """Raises LookupError if a request comes out of its deciding hook neither allowed nor refused.

    One that is held is decided on its body, once that is complete.
    """
    if event.name not in _DECIDING:
        return
    flow: http.HTTPFlow = event.args()[0]
    exchange = exchange_of(flow)
    waits = exchange is not None and exchange.held is not None and event.name == "requestheaders"
    if exchange is None or not (exchange.allowed or exchange.answer is not None or flow.error or waits):
        raise LookupError("a request was left undecided")


def close_subject(subject: Any) -> Client | None:
    """Leave nothing a proxy layer could go on with. Gives the client whose connection it was."""
    match subject:
        case http.HTTPFlow():
            exchange = exchange_of(subject)
            if exchange is not None and exchange.answer is None:
                exchange.deny(closed())
            if subject.killable:
                subject.kill()
            return subject.client_conn
        case Client():
            subject.error = "closed by the gate"
            return subject
        case server_hooks.ServerConnectionHookData():
            subject.server.error = "closed by the gate"
            return subject.client
        case tls.TlsData():
            subject.ssl_conn = None
            return subject.context.client
        case tls.ClientHelloData():
            subject.ignore_connection = False
            return subject.context.client
        case layer.NextLayer():
            subject.layer = refusing_layer(subject.context)
            return subject.context.client
    return None


class GateMaster(master.Master):
    """mitmproxy's master with the closing addon manager."""

    addons: ClosedAddons

    def __init__(self, opts: options.Options) -> None:
        super().__init__(opts)
        self.addons = ClosedAddons(self)
