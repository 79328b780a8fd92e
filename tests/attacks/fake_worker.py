"""A worker's end of the socket, spoken by a test; and an execution that only listens."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from runtime.isolate import GuestLimits, LogLine, Outcome, Trace
from runtime.worker import frames
from runtime.worker.frames import Call, Decoder, Kind, Run
from runtime.worker.link import Link

RUN = Run(
    image=0,
    seed=bytes(32),
    start_ns=0,
    limits=GuestLimits(**dict.fromkeys(GuestLimits.__dataclass_fields__, 1_000)),
    program="1",
    inputs="null",
)


class FakeProcess:
    """Killed, its socket closes, as a real worker's would."""

    pid = 0

    def __init__(self, end: socket.socket | None = None) -> None:
        self._end = end
        self.kills = 0

    def kill(self) -> None:
        self.kills += 1
        if self._end is not None:
            self._end.close()

    def forget(self) -> None:
        """Nothing is held."""


@dataclass
class Heard:
    """All that an execution was told."""

    logs: list[LogLine] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    taken: list[int] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    lives: int = 0
    blocks: int = 0
    endings: list[Outcome | str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def on_log(self, lines: list[LogLine]) -> None:
        self.logs += lines

    def on_call(self, call: Call) -> None:
        self.calls.append(call)

    def on_taken(self, size: int) -> None:
        self.taken.append(size)

    def on_trace(self, trace: Trace) -> None:
        self.traces.append(trace)

    def on_live(self) -> None:
        self.lives += 1

    def on_blocked(self) -> None:
        self.blocks += 1

    def on_done(self, outcome: Outcome) -> None:
        self._end(outcome)

    def on_lost(self, reason: str) -> None:
        self._end(reason)

    def _end(self, ending: Outcome | str) -> None:
        self.endings.append(ending)
        self.ended.set()


class FakeWorker:
    """A link whose worker is the test."""

    def __init__(self) -> None:
        ours, self._end = socket.socketpair()
        for end in (ours, self._end):
            end.setblocking(False)  # noqa: FBT003 - the standard library's signature
        self._ours = ours
        self.process = FakeProcess(self._end)
        self.ready = asyncio.Event()
        self.gone = asyncio.Event()
        self.link = Link(self.process, lambda _: self.ready.set(), lambda _: self.gone.set())  # type: ignore[arg-type]
        self.raised: list[dict[str, Any]] = []
        self._decoder = Decoder()
        self._answers: list[bytes] = []

    async def connect(self) -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: self.raised.append(context))
        await loop.connect_accepted_socket(lambda: self.link, self._ours)
        await self.say(frames.encode_hello({"walls": "none"}))
        await self.ready.wait()

    def execution(self, number: int) -> Heard:
        heard = Heard()
        self.link.run(number, RUN, heard)
        return heard

    async def say(self, data: bytes) -> None:
        with contextlib.suppress(OSError):  # killed while it was still talking
            await asyncio.get_running_loop().sock_sendall(self._end, data)

    async def answer(self) -> tuple[int, bool, str]:
        """The next answer to a host call."""
        while not self._answers:
            data = await asyncio.get_running_loop().sock_recv(self._end, 1 << 20)
            assert data, "the gateway closed the link"
            self._answers += [f.payload for f in self._decoder.feed(data) if f.kind == Kind.RESULT]
        return frames.decode_result(self._answers.pop(0))

    def close(self) -> None:
        self._end.close()


@contextlib.asynccontextmanager
async def fake_worker() -> AsyncIterator[FakeWorker]:
    worker = FakeWorker()
    await worker.connect()
    try:
        yield worker
    finally:
        worker.close()
        worker.link.close()
        await worker.gone.wait()
