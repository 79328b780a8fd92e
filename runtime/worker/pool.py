"""The gateway's workers: started through the zygote, chosen by load, replaced when they die."""

import array
import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from runtime.isolate.compiled import CompiledImage
from runtime.worker.link import Link
from runtime.worker.process import Process

log = logging.getLogger(__name__)

_ZYGOTE_START_S = 20.0
_RESTART_DELAY_S = (0.0, 0.1, 0.5, 2.0)


class NoWorkerError(RuntimeError):
    """No worker is ready; one is being started."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSettings:
    """How many workers, how many guests run at once in each, and when a worker is replaced."""

    workers: int
    slots: int = 1
    most_served: int = 20_000


class WorkerPool:
    """Workers that may be shared by all executions of a cell."""

    def __init__(self, images: Sequence[CompiledImage], settings: PoolSettings) -> None:
        self.images = tuple(images)
        self._index = {image.name: index for index, image in enumerate(images)}
        self._settings = settings
        self._ready: list[Link] = []
        self._links: set[Link] = set()
        self._all_ready = asyncio.Event()
        self._closing = False
        self._failures = 0
        self._zygote: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._forking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    def image_index(self, name: str) -> int:
        """An image's number in RUN frames."""
        return self._index[name]

    async def start(self) -> None:
        """Start the zygote and every worker; returns when all are ready. Raises RuntimeError if that fails."""
        await self._start_zygote()
        for _ in range(self._settings.workers):
            await self._fork()
        async with asyncio.timeout(_ZYGOTE_START_S):
            await self._all_ready.wait()

    async def _start_zygote(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        command = [sys.executable, "-I", "-m", "runtime.worker.zygote", str(theirs.fileno())]
        self._zygote = subprocess.Popen(command, pass_fds=[theirs.fileno()], env={}, stdin=subprocess.DEVNULL)  # noqa: S603, ASYNC220 - our own module
        theirs.close()
        self._control = ours
        settings = {
            "images": [{**asdict(image), "path": str(image.path)} for image in self.images],
            "slots": self._settings.slots,
        }
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(ours, json.dumps(settings).encode())
        async with asyncio.timeout(_ZYGOTE_START_S):
            answer = await loop.sock_recv(ours, 64)
        if answer != b"ready":
            raise RuntimeError(f"the zygote ended with status {self._zygote.wait()}; its log says why")

    async def _fork(self) -> None:
        assert self._control is not None
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003
        async with self._forking:
            descriptors = array.array("i", [theirs.fileno()])
            self._control.sendmsg([b"fork"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            theirs.close()
            answer = await loop.sock_recv(self._control, 64)
        if not answer:
            ours.close()
            raise RuntimeError("the zygote is gone")
        process = Process(int(answer))
        _, link = await loop.connect_accepted_socket(lambda: Link(process, self._on_ready, self._on_gone), ours)
        self._links.add(link)

    def _on_ready(self, link: Link) -> None:
        self._failures = 0
        self._ready.append(link)
        if len(self._ready) >= self._settings.workers:
            self._all_ready.set()

    def _on_gone(self, link: Link) -> None:
        self._links.discard(link)
        if link in self._ready:
            self._ready.remove(link)
        if self._closing:
            return
        if len(self._links) < self._settings.workers:
            self._failures += 1
            self._spawn(self._replace())

    def _spawn(self, work: "asyncio.Future[None] | object") -> None:
        task = asyncio.ensure_future(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _replace(self) -> None:
        delay = _RESTART_DELAY_S[min(self._failures - 1, len(_RESTART_DELAY_S) - 1)]
        await asyncio.sleep(delay)
        try:
            if self._zygote is None or self._zygote.poll() is not None:
                log.error("the zygote is gone; starting another")
                await self._start_zygote()
            await self._fork()
        except (OSError, RuntimeError, TimeoutError):
            log.exception("a worker could not be started; trying again")
            self._failures += 1
            if not self._closing:
                self._spawn(self._replace())

    def choose(self) -> Link:
        """The ready worker with the least to do. Raises NoWorkerError."""
        if not self._ready:
            raise NoWorkerError("no worker is ready; one is being started")
        link = min(self._ready, key=lambda candidate: candidate.load)
        if link.served >= self._settings.most_served:
            self._retire(link)
        return link

    def _retire(self, link: Link) -> None:
        """Give a worker nothing more after this; it goes when its last execution has ended."""
        if len(self._ready) > 1:
            self._ready.remove(link)
            self._spawn(self._drain(link))

    async def _drain(self, link: Link) -> None:
        await self._fork()
        while link.load:
            await asyncio.sleep(0.05)
        link.close()

    def pids(self) -> list[int]:
        """The zygote and the workers."""
        zygote = [self._zygote.pid] if self._zygote is not None else []
        return zygote + [link.process.pid for link in self._links]

    async def close(self) -> None:
        """End all workers and the zygote."""
        self._closing = True
        for task in list(self._tasks):
            task.cancel()
        for link in list(self._links):
            link.close()
        if self._control is not None:
            self._control.close()
        if self._zygote is not None:
            await asyncio.to_thread(self._wait_for_zygote, self._zygote)

    @staticmethod
    def _wait_for_zygote(zygote: subprocess.Popen[bytes]) -> None:
        try:
            zygote.wait(2)
        except subprocess.TimeoutExpired:
            zygote.kill()
            zygote.wait()


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0))
