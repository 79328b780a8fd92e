"""A session: programs that call functions of the client that sends them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable
from typing import Any, Self

import grpc

from runtime.client.backoff import waits
from runtime.client.function import Offer
from runtime.rpc import runtime_pb2, runtime_pb2_grpc

type OnLog = Callable[[runtime_pb2.LogLine], None]
type _Call = grpc.aio.StreamStreamCall[runtime_pb2.SessionRequest, runtime_pb2.SessionEvent]

_ATTEMPTS = 6


class SessionLostError(ConnectionError):
    """The stream ended while a program ran. The service cancels the program; what it had done is not known here."""


class SessionRefusedError(ValueError):
    """A program was refused; nothing ran. `reason` is a stable word, `retry_after_s` 0 if asking again is of no use."""

    def __init__(self, refusal: runtime_pb2.SessionRefusal) -> None:
        super().__init__(refusal.message)
        self.reason = refusal.reason
        self.retry_after_s = refusal.retry_after_s


class Session:
    """Made by Client.session. A stream that breaks fails what runs on it; the next program opens another."""

    def __init__(
        self,
        stub: "runtime_pb2_grpc.RuntimeAsyncStub",
        metadata: tuple[tuple[str, str], ...],
        offer: Offer,
    ) -> None:
        self._stub = stub
        self._metadata = metadata
        self._offer = offer
        self._stream: _Stream | None = None
        self._opening = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._stream is not None:
            await self._stream.close()

    @property
    def names(self) -> tuple[str, ...]:
        """The functions as programs call them, `upstream.name`."""
        return self._stream.names if self._stream is not None else ()

    @property
    def id(self) -> str:
        """For Client.search and Client.describe. Another one after the stream was lost."""
        return self._stream.id if self._stream is not None else ""

    async def run(self, request: runtime_pb2.ExecuteRequest, on_log: OnLog | None = None) -> runtime_pb2.Execution:
        """Run a program to its end. Cancelling this cancels it.

        Raises SessionRefusedError, SessionLostError, and grpc.aio.AioRpcError for a service that is not there.
        """
        stream = await self._open()
        async with contextlib.aclosing(stream.execute(request)) as events:
            async for event in events:
                if event.HasField("log") and on_log is not None:
                    on_log(event.log)
                elif event.HasField("finished"):
                    return event.finished
        raise SessionLostError("the session's stream ended before the program did")

    async def _open(self) -> "_Stream":
        """The stream, opened again with growing pauses if it is gone: nothing runs on it by then."""
        async with self._opening:
            for wait_s in waits(_ATTEMPTS):
                if self._stream is not None and not self._stream.lost:
                    return self._stream
                if self._stream is not None:
                    await self._stream.close()
                self._stream = _Stream(self._stub.Session(metadata=self._metadata), self._offer)
                try:
                    await self._stream.open()
                except grpc.aio.AioRpcError as error:
                    if error.code() is not grpc.StatusCode.UNAVAILABLE or wait_s is None:
                        raise
                    await asyncio.sleep(wait_s)
            assert self._stream is not None
            return self._stream


class _Stream:
    """One open stream."""

    def __init__(self, call: _Call, offer: Offer) -> None:
        self.id = ""
        self.names: tuple[str, ...] = ()
        self.lost = True
        self._call = call
        self._offer = offer
        self._writing = asyncio.Lock()
        self._last = 0
        self._programs: dict[str, asyncio.Queue[runtime_pb2.ExecuteEvent | Exception]] = {}
        self._answers: dict[int, asyncio.Task[None]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def open(self) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):  # it has ended already; reading says why
            await self._call.write(runtime_pb2.SessionRequest(offer=self._offer.message()))
        opened = await self._call.read()
        if not isinstance(opened, runtime_pb2.SessionEvent):
            raise SessionLostError("the service ended the session at once")
        self.id, self.names = opened.opened.session_id, tuple(opened.opened.names)
        self.lost = False
        self._reader = asyncio.create_task(self._read())

    async def close(self) -> None:
        self.lost = True
        self._call.cancel()
        tasks: list[asyncio.Task[Any]] = [*self._answers.values()]
        if self._reader is not None:
            tasks.append(self._reader)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def execute(self, request: runtime_pb2.ExecuteRequest) -> AsyncGenerator[runtime_pb2.ExecuteEvent]:
        self._last += 1
        name = f"p{self._last}"
        events = self._programs[name] = asyncio.Queue()
        finished = False
        try:
            execute = runtime_pb2.SessionExecute(id=name, request=request)
            await self._write(runtime_pb2.SessionRequest(execute=execute))
            while not finished:
                event = await events.get()
                if isinstance(event, Exception):
                    finished = True
                    raise event
                finished = event.HasField("finished")
                yield event
        finally:
            del self._programs[name]
            if not finished and not self.lost:
                cancel = runtime_pb2.SessionCancel(id=name, reason="the client no longer waits for it")
                with contextlib.suppress(SessionLostError, grpc.aio.AioRpcError):
                    await self._write(runtime_pb2.SessionRequest(cancel=cancel))

    async def _write(self, request: runtime_pb2.SessionRequest) -> None:
        try:
            async with self._writing:
                await self._call.write(request)
        except (asyncio.InvalidStateError, grpc.aio.AioRpcError) as error:
            self.lost = True
            if isinstance(error, grpc.aio.AioRpcError):
                raise
            raise SessionLostError("the session's stream has ended") from None

    async def _read(self) -> None:
        end: Exception = SessionLostError("the service ended the session while the program ran")
        try:
            while isinstance(event := await self._call.read(), runtime_pb2.SessionEvent):
                self._take(event)
        except grpc.aio.AioRpcError as error:
            end = SessionLostError(f"the session's stream broke while the program ran: {error.details()}")
        finally:
            self.lost = True
            for events in self._programs.values():
                events.put_nowait(end)

    def _take(self, event: runtime_pb2.SessionEvent) -> None:
        match event.WhichOneof("event"):
            case "execution":
                self._hand(event.execution.id, event.execution.event)
            case "refused":
                self._hand(event.refused.id, SessionRefusedError(event.refused))
            case "call":
                task = asyncio.create_task(self._answer(event.call))
                self._answers[event.call.call_id] = task
            case "call_cancelled":
                if (task_ := self._answers.get(event.call_cancelled.call_id)) is not None:
                    task_.cancel()

    def _hand(self, name: str, event: runtime_pb2.ExecuteEvent | Exception) -> None:
        if (events := self._programs.get(name)) is not None:
            events.put_nowait(event)

    async def _answer(self, call: runtime_pb2.FunctionCall) -> None:
        try:
            answer = await self._offer.answer(call)
            await self._write(runtime_pb2.SessionRequest(answer=answer))
        except (SessionLostError, grpc.aio.AioRpcError):
            return  # nobody is left to answer
        finally:
            self._answers.pop(call.call_id, None)
