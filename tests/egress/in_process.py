"""A real proxy in a thread of the test's own process, for tests that reach into it."""

import asyncio
import socket
import threading
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from egress import lean
from sandboxes.egress import EgressSettings
from sandboxes.rule_set import RuleSet
from tests.egress import lab

lean.install()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # mitmproxy uses a deprecated name of pyparsing's when it is imported
    from egress import http1
    from egress.closed import ClosedAddons
    from egress.dialer import GuardedLoop
    from egress.proxy import Proxy

__all__ = ["InProcess", "everything", "http1"]


class InProcess:
    """A proxy in a thread of this process, so that its addons can be reached."""

    def __init__(self, state: Path, *rule_sets: RuleSet, addons: Iterable[Any] = (), **more: Any) -> None:
        self._addons = addons
        self._started = threading.Event()
        self._settings = EgressSettings.model_validate(
            lab.settings(state, *rule_sets, hosts={"api.example.test": "127.0.0.1"}, **more)
        )
        self._thread = threading.Thread(target=self._main, daemon=True)
        self._thread.start()
        assert self._started.wait(20)

    def _main(self) -> None:
        with asyncio.Runner(loop_factory=GuardedLoop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        self.proxy = Proxy(self._settings)
        self.manager: ClosedAddons = self.proxy.addons
        self.manager.add(*self._addons, self)
        await self.proxy.run()

    def running(self) -> None:
        self.port = self.proxy.ready()
        self.ca_file = str(self.proxy.ca_file)
        self._started.set()

    def close(self) -> None:
        self.proxy.stop()
        self._thread.join(20)

    def lab(self) -> lab.Lab:
        ready = {"port": self.port, "ca_file": self.ca_file}
        return lab.Lab(None, ready, Path(), Path())  # type: ignore[arg-type]


def everything(proxy: InProcess, data: bytes) -> bytes:
    """All that comes back for these bytes until the proxy closes."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=15) as connection:
        got = b""
        try:
            connection.sendall(data)
            while part := connection.recv(65536):
                got += part
        except ConnectionError:
            pass
        return got
