"""The parent's side of an enclosed child: the command that starts it, what it reports, and its way out."""

import asyncio
import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

from runtime.enclosure.environment import proxy_environment
from runtime.enclosure.relay import Find, Relay, TokenOf
from runtime.enclosure.walls import RELAY, UP, Network, Report

_PROBE_S: Final = 20.0
_START_S: Final = 20.0
_MOST_REPORT: Final = 16 << 10
_LAUNCHER: Final = (sys.executable, "-I", "-m", "runtime.enclosure.launcher")


class EnclosureError(OSError):
    """A child that was not started; the text says why."""


@cache
def probe() -> Report:
    """Which walls a child on this machine has, by trying. `network` is the reason where there is none to be had."""
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            [*_LAUNCHER, "probe"], env={}, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_PROBE_S
        )
        report: Report = json.loads(done.stdout)
    except subprocess.CalledProcessError as error:
        last = error.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return {"network": f"refused: {last.rpartition(': ')[2] or last}"}
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        return {"network": f"could not be tried: {error}"}
    return report


@dataclass(kw_only=True, slots=True)
class Enclosure:
    """One child to be, made by `enclosed`. `missing`: why it has no network namespace of its own, empty if it will."""

    network: Network
    missing: str
    environment: dict[str, str]
    walls: Report = field(default_factory=dict)
    _control: socket.socket
    _theirs: socket.socket
    _way: "Way"
    _listener: socket.socket | None = None
    _stack: contextlib.AsyncExitStack

    @property
    def control(self) -> socket.socket:
        """The end to hand to the child: as a descriptor of the same number, or as its standard error."""
        return self._theirs

    def command(self, argv: Sequence[str], control: int) -> list[str]:
        """What to start instead of `argv`, with the child's end at descriptor `control`."""
        network = Network.HOST if self.missing else self.network
        return [*_LAUNCHER, str(control), str(os.getpid()), network.value, *argv]

    def give_standard_error(self, descriptor: int) -> None:
        """What the child's standard error shall be, when it gets the control socket in its place."""
        socket.send_fds(self._control, [b"2"], [descriptor])

    async def established(self) -> None:
        """Wait until the program runs, and carry its connections from then on. Raises OSError if it does not run."""
        self._theirs.close()
        try:
            async with asyncio.timeout(_START_S):
                said, descriptors = await asyncio.to_thread(_hear, self._control)
        except TimeoutError:
            raise EnclosureError(f"it was not started within {_START_S:g} s") from None
        if "error" in said:
            for descriptor in descriptors:
                os.close(descriptor)
            if said.get("file"):
                raise FileNotFoundError(2, str(said["error"]), str(said["file"]))
            raise EnclosureError(str(said["error"]))
        self.walls = dict(said["walls"])
        if self.missing and self.network is not Network.HOST:
            self.walls["network"] = self.missing
        if descriptors:
            listener = socket.socket(fileno=descriptors[0])
            await self._stack.enter_async_context(Relay(listener, self._way.find, self._way.token))


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A child's way out: where the proxy is, whose token its requests carry, and the certificates to trust."""

    find: Find
    token: TokenOf
    ca_file: str


@contextlib.asynccontextmanager
async def enclosed(network: Network, way: Way, *, isolate: bool = True) -> AsyncIterator[Enclosure]:
    """A child's surroundings, for as long as the block lasts. Raises EnclosureError where `none` cannot be had.

    Where the machine gives no namespace, `proxy` becomes a relay on loopback behind a password of the child's own, and
    the child could go around it.
    """
    found = await asyncio.to_thread(probe) if isolate and network is not Network.HOST else {"network": "not asked for"}
    isolated = found["network"] == UP
    if network is Network.NONE and not isolated:
        raise EnclosureError(
            f"network: none needs a network namespace, which this machine gives not: {found['network']}"
        )
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(ours.close)
        stack.callback(theirs.close)
        environment: dict[str, str] = {}
        if network is Network.PROXY:
            url = _url(RELAY) if isolated else await _open_relay(stack, way)
            environment = proxy_environment(url, way.ca_file)
        yield Enclosure(
            network=network,
            missing="" if isolated else found["network"],
            environment=environment,
            _control=ours,
            _theirs=theirs,
            _way=way,
            _stack=stack,
        )


async def _open_relay(stack: contextlib.AsyncExitStack, way: Way) -> str:
    password = secrets.token_urlsafe(32)
    listener = socket.create_server(("127.0.0.1", 0))
    await stack.enter_async_context(Relay(listener, way.find, way.token, password))
    return _url(listener.getsockname()[:2], password)


def _url(address: tuple[str, int], password: str | None = None) -> str:
    user = f"lockgate:{password}@" if password else ""
    return f"http://{user}{address[0]}:{address[1]}"


def _hear(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """All the launcher says until its program runs, and the listening socket."""
    control.settimeout(_START_S)
    data, descriptors, _, _ = socket.recv_fds(control, _MOST_REPORT, 1)
    while len(data) < _MOST_REPORT and (more := control.recv(_MOST_REPORT)):
        data += more
    said: dict[str, Any] = {}
    for line in data.splitlines():
        said |= json.loads(line)
    return said or {"error": "it ended before it was started"}, descriptors
