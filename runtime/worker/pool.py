"""The gateway's workers by cordon: which executions may share a process, and which workers stand by.

Every worker begins as a stand-by, forked and locked down with a warmed spare of each image. A cordon takes one
when it needs it: the shared cordon keeps as many as there are cores, a tenant's takes up to as many while it has
work for them, and a dedicated execution takes one for itself alone.
"""

import asyncio
import logging
import os
import socket
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakSet

import psutil

from runtime.isolate.compiled import CompiledImage
from runtime.worker.link import Link
from runtime.worker.output import WorkerOutput
from runtime.worker.process import Process
from runtime.worker.zygote_process import ZygoteGoneError, ZygoteProcess
from sandboxes.profile import Isolation

log = logging.getLogger(__name__)

SHARED = "shared"

_START_S = 20.0
_CHECK_S = 2.0
_SILENT_S = 5.0
_TENANT_IDLE_S = 30.0
_RETRY_S = (0.0, 0.1, 0.5, 2.0)
_AFTER_REPLY_S = 0.003
_AFTER_DEDICATED_S = 0.01


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSettings:
    """How many workers and guests, and when a worker is replaced.

    `slots` guests run at once in a worker; `standby` workers are kept ready, up to `most_standby` when they are used
    up faster than they are made. A worker is replaced after `most_served` executions or beyond `most_rss` bytes.
    """

    workers: int
    slots: int = 1
    standby: int = 2
    most_standby: int = 8
    most_workers: int = 64
    most_served: int = 20_000
    most_rss: int = 2 << 30


@dataclass(slots=True)
class _Cordon:
    """The workers that one kind of execution may share."""

    links: list[Link] = field(default_factory=list)
    idle_since: float = field(default_factory=time.monotonic)


class WorkerPool:
    """All workers of a cell. `on_available` is called whenever an execution may find a worker that did not before."""

    def __init__(self, images: Sequence[CompiledImage], eraser: CompiledImage, settings: PoolSettings) -> None:
        self.images = tuple(images)
        self._eraser = eraser
        self.parser_digest = f"sha256:{eraser.digest}"
        self.on_available: Callable[[], None] = _nothing
        self._index = {image.name: index for index, image in enumerate(images)}
        self._settings = settings
        self._wanted_standby = settings.standby
        self._standby: deque[Link] = deque()
        self._cordons: dict[str, _Cordon] = {SHARED: _Cordon()}
        self._links: set[Link] = set()
        self._outputs: WeakSet[asyncio.BaseTransport] = WeakSet()
        self._starting = 0
        self._failures = 0
        self._zygote: ZygoteProcess | None = None
        self._changed = asyncio.Event()
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    def image_index(self, name: str) -> int:
        """An image's number in RUN frames."""
        return self._index[name]

    async def start(self) -> None:
        """Start the zygote and the shared workers; the stand-bys follow. Raises RuntimeError or TimeoutError."""
        self._zygote = await ZygoteProcess.start(self.images, self._eraser, self._settings.slots)
        self._refill()
        async with asyncio.timeout(_START_S):
            while len(self._cordons[SHARED].links) < self._settings.workers:
                await self._changed.wait()
                self._changed.clear()
        self._spawn(self._look_after())

    def acquire(self, isolation: Isolation, tenant: str) -> Link | None:
        """The worker an execution goes to; None if it has to wait for one, which is then being made."""
        if isolation == "dedicated":
            return self._take_standby(refill_s=_AFTER_DEDICATED_S)
        if isolation == "shared":
            return self._least_loaded(self._cordons[SHARED])
        cordon = self._cordons.setdefault(tenant, _Cordon())
        cordon.idle_since = time.monotonic()
        busy = all(link.load >= self._settings.slots for link in cordon.links)
        if busy and len(cordon.links) < self._settings.workers and (link := self._take_standby()) is not None:
            cordon.links.append(link)
        return self._least_loaded(cordon)

    def _least_loaded(self, cordon: _Cordon) -> Link | None:
        if not cordon.links:
            return None
        # Of two that are idle the one that has served less: the other may still prepare its next spare.
        link = min(cordon.links, key=lambda candidate: (candidate.load, candidate.served))
        if link.served >= self._settings.most_served:
            self._retire(cordon, link)
        return link

    def _take_standby(self, refill_s: float = 0) -> Link | None:
        """One that stands by. Running out of them is the sign that more should.

        The next is made `refill_s` later if there still are some: making it takes a core from what the first is for.
        """
        link = self._standby.popleft() if self._standby else None
        if link is None:
            self._wanted_standby = min(self._wanted_standby + 1, self._settings.most_standby)
        if refill_s and self._standby:
            asyncio.get_running_loop().call_later(refill_s, self._refill)
        else:
            self._refill()
        return link

    def release(self, link: Link, isolation: Isolation) -> None:
        """An execution left a worker. A dedicated one goes with it, or with its session, once its last reply has left.

        Taking a process apart keeps a core busy for a while.
        """
        if isolation == "dedicated" and not link.sessions:
            asyncio.get_running_loop().call_later(_AFTER_REPLY_S, link.close)

    def walls(self) -> dict[str, str]:
        """What the lock-down of the workers reports; of the newest, since all are made alike."""
        return next((dict(link.walls) for link in self._links if link.walls), {})

    # Making workers.

    def _refill(self) -> None:
        """Start as many as are missing. Where there is no room, owners who have nothing to do make some."""
        missing_shared = self._settings.workers - len(self._cordons[SHARED].links)
        wanted = missing_shared + self._wanted_standby - len(self._standby)
        room = self._settings.most_workers - len(self._links)
        if not self._closing:
            self._make_room(wanted - max(room, self._starting))
        while self._starting < min(wanted, room) and not self._closing:
            self._starting += 1
            self._spawn(self._make_worker())

    def _make_room(self, missing: int) -> None:
        """End up to so many idle workers of owners, those first who have been idle for longest; new ones follow."""
        owners = sorted((cordon for key, cordon in self._cordons.items() if key != SHARED), key=lambda c: c.idle_since)
        idle = [(cordon, link) for cordon in owners for link in cordon.links if not link.load]
        for cordon, link in idle[: max(0, missing)]:
            cordon.links.remove(link)
            link.close()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make_worker(self) -> None:
        try:
            await asyncio.sleep(_RETRY_S[min(self._failures, len(_RETRY_S) - 1)])
            await self._fork()
        except (OSError, ZygoteGoneError, TimeoutError) as error:
            self._failures += 1
            self._starting -= 1
            log.error("a worker could not be started (%s); trying again", error)
            await self._mend_zygote()
            self._refill()

    async def _fork(self) -> None:
        if self._zygote is None:
            raise ZygoteGoneError("there is no zygote")
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        output, stderr = os.pipe()
        try:
            pid = await self._zygote.fork(theirs, stderr)
        except BaseException:
            ours.close()
            os.close(output)
            raise
        await self._connect(Process(pid), ours, output)

    async def _connect(self, process: Process, ours: socket.socket, output: int) -> None:
        """Take a new worker's pipe and socket. If that fails the socket is closed, and with it the worker ends."""
        loop = asyncio.get_running_loop()
        try:
            pipe = os.fdopen(output, "rb", 0)
            transport, _ = await loop.connect_read_pipe(lambda: WorkerOutput(process.pid), pipe)
            self._outputs.add(transport)
            _, link = await loop.connect_accepted_socket(lambda: Link(process, self._on_ready, self._on_gone), ours)
        except BaseException:
            ours.close()
            process.forget()
            raise
        self._links.add(link)

    async def _mend_zygote(self) -> None:
        """A zygote that is gone is replaced, once, however many forks it failed."""
        zygote = self._zygote
        if zygote is None or self._closing or zygote.alive:
            return
        self._zygote = None
        await zygote.stop()
        try:
            self._zygote = await ZygoteProcess.start(self.images, self._eraser, self._settings.slots)
        except (OSError, ZygoteGoneError, TimeoutError) as error:
            log.error("the zygote could not be started again: %s", error)

    def _on_ready(self, link: Link) -> None:
        self._failures = 0
        self._starting -= 1
        shared = self._cordons[SHARED].links
        if len(shared) < self._settings.workers:
            shared.append(link)
        else:
            self._standby.append(link)
        self._changed.set()
        self.on_available()

    def _on_gone(self, link: Link) -> None:
        self._links.discard(link)
        if link in self._standby:
            self._standby.remove(link)
        for cordon in self._cordons.values():
            if link in cordon.links:
                cordon.links.remove(link)
        if not link.walls:
            self._starting -= 1
            self._failures += 1
        if not self._closing:
            self._refill()

    # Looking after workers.

    async def _look_after(self) -> None:
        while not self._closing:
            await asyncio.sleep(_CHECK_S)
            now = time.monotonic()
            for link in list(self._links):
                self._check(link, now)
            self._let_idle_go(now)

    def _check(self, link: Link, now: float) -> None:
        if link.silent_s(now) > _SILENT_S:
            link.kill(f"the worker did not answer for {_SILENT_S:g} s")
            return
        link.ping()
        if _resident_bytes(link.process.pid) > self._settings.most_rss:
            for cordon in self._cordons.values():
                if link in cordon.links:
                    self._retire(cordon, link)

    def _retire(self, cordon: _Cordon, link: Link) -> None:
        """Give a worker nothing more after this; it goes when its last execution has ended."""
        cordon.links.remove(link)
        link.close_when_idle()
        self._refill()

    def _let_idle_go(self, now: float) -> None:
        """Tenants' workers without work, and stand-bys beyond the usual number."""
        for key, cordon in list(self._cordons.items()):
            if key == SHARED:
                continue
            if any(link.load or link.sessions for link in cordon.links):
                cordon.idle_since = now
            elif now - cordon.idle_since > _TENANT_IDLE_S:
                del self._cordons[key]
                for link in cordon.links:
                    link.close()
        self._wanted_standby = max(self._settings.standby, self._wanted_standby - 1)
        while len(self._standby) > self._wanted_standby:
            self._standby.popleft().close()

    def pids(self) -> list[int]:
        """The zygote and the workers."""
        zygote = [self._zygote.pid] if self._zygote is not None else []
        return zygote + [link.process.pid for link in self._links]

    async def close(self) -> None:
        """End all workers and the zygote."""
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for link in list(self._links):
            link.close()
        if self._zygote is not None:
            await self._zygote.stop()
        for output in list(self._outputs):
            output.close()


def _nothing() -> None:
    """Nobody waits for a worker yet."""


def _resident_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))
