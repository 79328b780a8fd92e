"""One of several egress processes, as their parent sees it: started, told, started again when it dies."""

import asyncio
import json
import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

from sandboxes.egress import EgressSettings

_START_S = 60.0
_ANSWER_S = 10.0
_STOP_S = 5.0
_AGAIN_S = 0.2
_MOST_LINE = 16 << 20
log = logging.getLogger(__name__)


class MemberFailedError(RuntimeError):
    """A process that did not start or did not answer; the text says why."""


class Member:
    """`settings` gives what a fresh process needs, `caught_up` the lines that bring it to where the others are."""

    def __init__(self, settings: Callable[[], EgressSettings], caught_up: Callable[[], list[str]]) -> None:
        self._settings = settings
        self._caught_up = caught_up
        self._process: asyncio.subprocess.Process | None = None
        self._telling = asyncio.Lock()
        self._watching: asyncio.Task[None] | None = None
        self.channel: socket.socket | None = None
        self.ready: dict[str, Any] = {}

    async def start(self) -> None:
        """Start it and keep it alive. Raises MemberFailedError."""
        await self._launch()
        self._watching = asyncio.create_task(self._watch())

    async def ask(self, line: str) -> dict[str, Any]:
        """Send a command and wait for its answer. Raises MemberFailedError if it is gone."""
        async with self._telling:
            return await self._ask(line)

    async def stop(self) -> None:
        """End it in order."""
        if self._watching is not None:
            self._watching.cancel()
        if self._process is None or self._process.returncode is not None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_S):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _launch(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "egress",
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
                pass_fds=(theirs.fileno(),), limit=_MOST_LINE,
            )  # fmt: skip
            settings = self._settings().model_copy(update={"handover_fd": theirs.fileno()})
            async with self._telling:
                self.ready = await self._ask(settings.model_dump_json(by_alias=True), _START_S)
        if not self.ready.get("ready"):
            ours.close()
            raise MemberFailedError(str(self.ready.get("error")))
        if self.channel is not None:
            self.channel.close()
        self.channel = ours
        for line in self._caught_up():
            await self.ask(line)

    async def _ask(self, line: str, timeout_s: float = _ANSWER_S) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(timeout_s):
                self._process.stdin.write(line.encode() + b"\n")
                await self._process.stdin.drain()
                said: dict[str, Any] = json.loads(await self._process.stdout.readline())
        except (TimeoutError, ValueError, ConnectionError):
            raise MemberFailedError("an egress process ended or did not answer") from None
        return said

    async def _watch(self) -> None:
        while True:
            assert self._process is not None
            status = await self._process.wait()
            log.error("an egress process ended with status %s; starting it again", status)
            try:
                await self._launch()
            except (MemberFailedError, OSError) as error:
                log.error("%s", error)
                await asyncio.sleep(_AGAIN_S)
