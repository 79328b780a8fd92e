"""A child process that is spoken to in JSON lines, started again when it dies."""

import asyncio
import contextlib
import json
import logging
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from runtime.worker.process import how_it_ended

log = logging.getLogger(__name__)

_STOP_S = 5.0
_DELAYS_S = (0.0, 0.2, 1.0, 5.0)
_ANSWER_S = 10.0
_MOST_LINE = 16 << 20

type Ready = Mapping[str, Any]


class ChildFailedError(RuntimeError):
    """A child that did not become ready; the text says why."""


class Child:
    """`python -m MODULE` with a settings line on its standard input and a ready line on its output.

    It ends when its standard input closes. `on_ready` is called with each ready line, the first included;
    `on_line` with every line that answers nothing. A line with `done` in it answers the next of those sent.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - what a process is started with, and who is told what it says
        self,
        name: str,
        module: str,
        settings: Callable[[], str],
        on_ready: Callable[[Ready], Awaitable[None]],
        env: Mapping[str, str],
        on_line: Callable[[Ready], Awaitable[None]] | None = None,
    ) -> None:
        self.name = name
        self._module = module
        self._settings = settings
        self._on_ready = on_ready
        self._env = dict(env)
        self._process: asyncio.subprocess.Process | None = None
        self._watching: asyncio.Task[None] | None = None
        self._failures = 0
        self._on_line = on_line
        self._reading: asyncio.Task[None] | None = None
        self._answers: deque[asyncio.Future[Ready] | None] = deque()

    @property
    def pid(self) -> int | None:
        """Of the present process."""
        return self._process.pid if self._process is not None else None

    async def start(self, timeout_s: float) -> None:
        """Start it and wait until it is ready. Raises ChildFailedError."""
        await self._launch(timeout_s)
        self._watching = asyncio.create_task(self._watch(timeout_s))

    async def _launch(self, timeout_s: float) -> None:
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            self._module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=self._env,
            limit=_MOST_LINE,
            start_new_session=True,
        )
        self._answers = deque()
        await self._send(self._settings())
        try:
            async with asyncio.timeout(timeout_s):
                ready = await self._ready_line(process)
        except TimeoutError:
            process.kill()
            raise ChildFailedError(f"the {self.name} was not ready within {timeout_s:g} s") from None
        if not ready.get("ready"):
            await self.stop()
            raise ChildFailedError(f"the {self.name} did not start: {ready.get('error', 'it said nothing')}")
        self._reading = asyncio.create_task(self._read(process))
        await self._on_ready(ready)

    async def ask(self, line: str, timeout_s: float = _ANSWER_S) -> Ready:
        """Send one line and wait for its answer. Raises ChildFailedError if there is none in time."""
        answer: asyncio.Future[Ready] = asyncio.get_running_loop().create_future()
        self._answers.append(answer)
        try:
            async with asyncio.timeout(timeout_s):
                await self._send(line)
                return await answer
        except TimeoutError:
            raise ChildFailedError(f"the {self.name} did not answer within {timeout_s:g} s") from None

    async def tell(self, line: str) -> None:
        """Send one line. A child that is gone is started again and gets what it needs then."""
        self._answers.append(None)
        await self._send(line)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """What it says after its ready line, until its end."""
        assert process.stdout is not None
        async for line in process.stdout:
            try:
                said = json.loads(line)
            except ValueError:
                log.error("the %s said something that is no JSON", self.name)
                continue
            if "done" not in said:
                if self._on_line is not None:
                    await self._on_line(said)
            else:
                self._answered(said)

    def _answered(self, said: Ready) -> None:
        """To the line that was sent first of those without an answer."""
        asked = self._answers.popleft() if self._answers else None
        if asked is not None and not asked.done():
            asked.set_result(said)
        elif not said["done"]:
            log.error("the %s refused what it was told: %s", self.name, said.get("error"))

    async def _ready_line(self, process: asyncio.subprocess.Process) -> Ready:
        assert process.stdout is not None
        line = await process.stdout.readline()
        try:
            ready = json.loads(line)
        except ValueError:
            ready = None
        if isinstance(ready, dict):
            return ready
        return {"ready": False, "error": f"it {how_it_ended(await process.wait())}; its log says why"}

    async def _send(self, line: str) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(line.encode() + b"\n")
            await self._process.stdin.drain()

    async def _watch(self, timeout_s: float) -> None:
        while True:
            assert self._process is not None
            status = await self._process.wait()
            log.error("the %s %s; starting it again", self.name, how_it_ended(status))
            await asyncio.sleep(_DELAYS_S[min(self._failures, len(_DELAYS_S) - 1)])
            self._failures += 1
            try:
                await self._launch(timeout_s)
                self._failures = 0
            except (ChildFailedError, OSError) as error:
                log.error("%s", error)

    async def stop(self) -> None:
        """Close its standard input, and end it if that is not enough."""
        if self._watching is not None:
            self._watching.cancel()
        process = self._process
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(_STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
