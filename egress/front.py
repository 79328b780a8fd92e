"""Several egress processes behind one address, one set of commands and one place for each execution's counts.

An execution belongs to one process, by its name. The gateway asks that process directly; other clients come to this
one, which looks at the token in their first bytes, without taking them, and hands the connection over. A process
refuses executions that are not its own, so a token that lies about the way is of no use.
"""

import asyncio
import base64
import binascii
import json
import logging
import re
import socket
import sys
import time
from typing import Any

from pydantic import ValidationError

from sandboxes.egress import EgressSettings
from sandboxes.shard import claimed_execution, shard_of

from .command import Command
from .handover import hand_over
from .member import Member, MemberFailedError

MOST_WAITING = 1_000
"""Connections whose first bytes are waited for at once; further ones are closed."""

_PEEK = 64 * 1024
_LOOK_S = 0.01
_TOKEN = re.compile(rb"\r\nproxy-authorization:[ \t]*(bearer|basic)[ \t]+([^\r\n \t]{1,8000})", re.IGNORECASE)
log = logging.getLogger(__name__)


class Front:
    """The parent of `settings.processes` members."""

    def __init__(self, settings: EgressSettings) -> None:
        self._settings = settings
        self._revoked: dict[str, int] = {}
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self.members = [self._member(shard) for shard in range(settings.processes)]
        self._listener = socket.create_server((settings.listen_host, settings.listen_port), backlog=512)
        self._listener.setblocking(False)  # noqa: FBT003 - the socket's own interface

    def _member(self, shard: int) -> Member:
        def settings() -> EgressSettings:
            metrics = self._settings.metrics_file and self._settings.metrics_file.replace(".prom", f".{shard}.prom")
            port = int(self.members[shard].ready.get("port", 0)) if hasattr(self, "members") else 0
            return self._settings.model_copy(update={"shard": shard, "listen_port": port, "metrics_file": metrics})

        return Member(settings, self._caught_up)

    def _caught_up(self) -> list[str]:
        now = time.time()
        self._revoked = {execution: until for execution, until in self._revoked.items() if until > now}
        return [json.dumps({"revoke": self._revoked, "own_ports": self.ports})]

    @property
    def ports(self) -> list[int]:
        """Of the one address, and of its members."""
        mine = int(self._listener.getsockname()[1])
        return [mine, *(int(member.ready["port"]) for member in self.members if "port" in member.ready)]

    async def start(self) -> dict[str, Any]:
        """Start all of them; what to tell whoever started us. Raises MemberFailedError."""
        await asyncio.gather(*(member.start() for member in self.members))
        await self.tell_all(json.dumps({"own_ports": self.ports}))
        first, mine, *ports = self.members[0].ready, *self.ports
        return {**first, "port": mine, "ports": ports}

    async def tell_all(self, line: str) -> dict[str, Any]:
        """One command to all members; refused if any refuses. One that is gone gets it when it is back."""
        answers = await asyncio.gather(*(member.ask(line) for member in self.members), return_exceptions=True)
        refusals = [a["error"] for a in answers if isinstance(a, dict) and not a["done"]]
        return {"done": False, "error": "; ".join(refusals)} if refusals else {"done": True}

    async def obey(self, line: bytes) -> dict[str, Any]:
        """A command of the supervisor's: for all members, and for those that are started later."""
        try:
            command = Command.model_validate_json(line)
        except ValidationError as error:
            return {"done": False, "error": f"{error.error_count()} faults in the command"}
        self._revoked |= command.revoked(time.time())
        said = await self.tell_all(line.decode().strip())
        if said["done"]:
            self._settings = command.followed(self._settings)
        return said

    async def accept(self) -> None:
        """Hand over connections until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            connection, _ = await loop.sock_accept(self._listener)
            if self._waiting >= MOST_WAITING:
                connection.close()
                continue
            task = asyncio.create_task(self._route(connection))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _route(self, connection: socket.socket) -> None:
        self._waiting += 1
        try:
            with connection:
                head = await self._peek(connection)
                member = self.members[shard_of(claimed_execution(token_in(head)), len(self.members))]
                if head and member.channel is not None:
                    hand_over(member.channel, connection)
        except OSError as error:
            log.info("a connection could not be handed over: %s", error.strerror)
        finally:
            self._waiting -= 1

    async def _peek(self, connection: socket.socket) -> bytes:
        """The first bytes, up to a whole head; what is there when the time for it is over, or it is long enough."""
        connection.setblocking(False)  # noqa: FBT003 - the socket's own interface
        until = time.monotonic() + self._settings.head_timeout_s
        head = b""
        while time.monotonic() < until:
            try:
                head = connection.recv(_PEEK, socket.MSG_PEEK)
            except BlockingIOError:
                pass
            else:
                if not head or b"\r\n\r\n" in head or len(head) == _PEEK:
                    return head
            await asyncio.sleep(_LOOK_S)
        return head

    async def stop(self) -> None:
        """End all of them in order."""
        self._listener.close()
        await asyncio.gather(*(member.stop() for member in self.members))


def token_in(head: bytes) -> str:
    """The token of a request head, unverified; empty if there is none."""
    match = _TOKEN.search(head)
    if match is None:
        return ""
    if match[1].lower() == b"bearer":
        return match[2].decode("latin-1")
    try:
        return base64.b64decode(match[2], validate=True).decode("latin-1").partition(":")[2]
    except (binascii.Error, ValueError):
        return ""


async def serve(settings: EgressSettings, lines: asyncio.StreamReader) -> int:
    """Serve until `lines` ends."""
    try:
        front = Front(settings)
        _say({**await front.start(), "ready": True})
    except (MemberFailedError, OSError) as error:
        _say({"ready": False, "error": str(error)})
        return 1
    accepting = asyncio.create_task(front.accept())
    async for line in lines:
        _say(await front.obey(line))
    accepting.cancel()
    await front.stop()
    return 0


def _say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
