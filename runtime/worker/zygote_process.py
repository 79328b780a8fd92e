"""The gateway's side of the zygote: its process, and forks by request."""

import array
import asyncio
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from runtime.isolate.compiled import CompiledImage
from runtime.worker.process import how_it_ended

log = logging.getLogger(__name__)

_START_S = 20.0
_STOP_S = 2.0
_MOST_ANSWER = 64


class ZygoteGoneError(RuntimeError):
    """The zygote ended; it has to be started again."""


class ZygoteProcess:
    """One zygote. Forks are requested one at a time."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._turn = asyncio.Lock()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._process.poll() is None

    @classmethod
    async def start(cls, images: Sequence[CompiledImage], eraser: CompiledImage, slots: int) -> "ZygoteProcess":
        """Start one and wait until its images are loaded. Raises ZygoteGoneError or TimeoutError."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)  # noqa: FBT003 - the standard library's signature
        command = [sys.executable, "-I", "-m", "runtime.worker.zygote", str(theirs.fileno())]
        process = subprocess.Popen(command, pass_fds=[theirs.fileno()], env={}, stdin=subprocess.DEVNULL)  # noqa: S603, ASYNC220 - our own module
        theirs.close()
        zygote = cls(process, ours)
        settings = {"images": [_entry(image) for image in images], "eraser": _entry(eraser), "slots": slots}
        async with asyncio.timeout(_START_S):
            await asyncio.get_running_loop().sock_sendall(ours, json.dumps(settings).encode())
            if await zygote._answer() != b"ready":
                raise ZygoteGoneError("the zygote did not say that it is ready")
        return zygote

    async def fork(self, worker_end: socket.socket, stderr: int) -> int:
        """A worker on `worker_end`, its standard error on `stderr`; both are closed here. Gives its process id.

        Raises ZygoteGoneError.
        """
        async with self._turn:
            descriptors = array.array("i", [worker_end.fileno(), stderr])
            try:
                self._control.sendmsg([b"fork"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)])
            except OSError as error:
                raise ZygoteGoneError(f"the zygote is gone: {error}") from error
            finally:
                worker_end.close()
                os.close(stderr)
            return int(await self._answer())

    async def _answer(self) -> bytes:
        try:
            answer = await asyncio.get_running_loop().sock_recv(self._control, _MOST_ANSWER)
        except OSError as error:
            raise ZygoteGoneError(f"the zygote is gone: {error}") from error
        if not answer:
            raise ZygoteGoneError(f"the zygote {await self._ending()}; its log says why")
        return answer

    async def _ending(self) -> str:
        """Its socket closes a moment before its status is there."""
        try:
            return how_it_ended(await asyncio.to_thread(self._process.wait, _STOP_S))
        except subprocess.TimeoutExpired:
            return "closed its socket and does not end"

    async def stop(self) -> None:
        """End it; its workers end with it."""
        self._control.close()
        await asyncio.to_thread(self._wait)

    def _wait(self) -> None:
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _entry(image: CompiledImage) -> dict[str, Any]:
    return {**asdict(image), "path": str(image.path)}
