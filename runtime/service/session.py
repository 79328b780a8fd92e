"""Runtime.Session: a client's own functions and the programs that call them, over one stream."""

import asyncio
import contextlib
import re
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Coroutine
from typing import Any, Final, Protocol

import grpc

from runtime.execution.hostcall import HostCallError
from runtime.portal.offered_inverse import OfferedInverse
from runtime.portal.offers import (
    DEFAULT_UPSTREAM,
    MAX_UPSTREAM,
    BadOfferError,
    Failed,
    FunctionCall,
    Offer,
    OfferedFunction,
    Offers,
)
from runtime.rpc import runtime_pb2 as pb
from runtime.service.errors import ApiError, bad_fields

MOST_SESSIONS: Final = 1_000
MOST_SESSIONS_EACH: Final = 200
"""Open sessions, in all and of one principal."""
MOST_RUNNING: Final = 64
"""Programs of one session that run at once."""
MOST_UNREAD_BYTES: Final = 16 << 20
"""Arguments of calls that wait for the client to read them."""
IDLE_S: Final = 900.0
"""A session without a message and without a program for so long is ended."""
_MOST_WAITING: Final = 256
_BROKEN_S: Final = 0.25
_MOST_ID: Final = 128
_MOST_REASON: Final = 2_000
_UPSTREAM: Final = re.compile(r"[a-z][a-z0-9_-]*")
_RESERVED: Final = frozenset({"lockgate"})

type EventStream = AsyncGenerator[pb.ExecuteEvent]


class Runner(Protocol):
    """Who runs a session's programs."""

    async def begin_in(self, session: str, request: pb.ExecuteRequest, principal: str) -> tuple[str, EventStream]:
        """Begin one: its execution's id and its events. Raises ApiError."""
        ...

    def cancel_in(self, execution_id: str, principal: str, reason: str) -> None:
        """End one."""


class Sessions:
    """The open sessions of this gateway. `taken` gives the names of its upstreams."""

    def __init__(
        self, offers: Offers | None = None, taken: Callable[[], Container[str]] = tuple, *, idle_s: float = IDLE_S
    ) -> None:
        self._offers = offers or Offers()
        self._taken = taken
        self._idle_s = idle_s
        self._open: Counter[str] = Counter()

    @contextlib.asynccontextmanager
    async def open(
        self, requests: AsyncIterator[pb.SessionRequest], principal: str, runner: Runner
    ) -> AsyncIterator["Session"]:
        """A session whose first message has been read. Raises ApiError."""
        if self._open.total() >= MOST_SESSIONS or self._open[principal] >= MOST_SESSIONS_EACH:
            raise ApiError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                "TOO_MANY_SESSIONS",
                f"{self._open[principal]} sessions are open (at most {MOST_SESSIONS_EACH}), in all "
                f"{self._open.total()} (at most {MOST_SESSIONS}); close one",
                retry_after_s=1.0,
            )
        self._open[principal] += 1
        session: Session | None = None
        try:
            first = await self._first(requests)
            session = Session(requests, principal, runner, self._idle_s)
            session.offer = self._offered(first, session)
            yield session
        finally:
            self._open[principal] -= 1
            if not self._open[principal]:
                del self._open[principal]
            if session is not None and session.offer is not None:
                # In this order: a program that is cancelled does not also see its calls fail.
                await session.close()
                self._offers.close(session.offer)

    async def _first(self, requests: AsyncIterator[pb.SessionRequest]) -> pb.OfferFunctions:
        try:
            async with asyncio.timeout(self._idle_s):
                first = await anext(requests, None)
        except TimeoutError:
            raise _idle(self._idle_s) from None
        if first is None or first.WhichOneof("message") != "offer":
            raise bad_fields([("offer", "is required: the first message of a session offers functions, or none")])
        return first.offer

    def _offered(self, message: pb.OfferFunctions, session: "Session") -> Offer:
        upstream = message.upstream or DEFAULT_UPSTREAM
        if len(upstream) > MAX_UPSTREAM or _UPSTREAM.fullmatch(upstream) is None:
            wanted = f"expected at most {MAX_UPSTREAM} of a-z, 0-9, _ and -, a letter first"
            raise bad_fields([("offer.upstream", f'is "{upstream[:MAX_UPSTREAM]}"; {wanted}')])
        if upstream in _RESERVED or upstream in self._taken():
            raise bad_fields([("offer.upstream", f'is "{upstream}", which is taken; choose another name')])
        functions = [
            OfferedFunction(
                name=each.name,
                description=each.description,
                input_schema=each.input_schema_json,
                output_schema=each.output_schema_json,
                read_only=each.read_only,
                inverse=_inverse(each),
            )
            for each in message.functions
        ]
        try:
            return self._offers.open(upstream, functions, session.tell, session.principal)
        except BadOfferError as error:
            raise bad_fields([("offer.functions", str(error))]) from None


class Session:
    """One open stream. Programs' events wait for the client; calls do not, their number is bounded elsewhere."""

    def __init__(
        self, requests: AsyncIterator[pb.SessionRequest], principal: str, runner: Runner, idle_s: float
    ) -> None:
        self.offer: Offer | None = None
        self._requests = requests
        self.principal = principal
        self._runner = runner
        self._idle_s = idle_s
        self._out: asyncio.Queue[pb.SessionEvent | ApiError | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(_MOST_WAITING)
        self._unread = 0
        self._running: dict[str, str] = {}
        self._ids: dict[str, str] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._idle: asyncio.TimerHandle | None = None

    def tell(self, said: FunctionCall | int) -> None:
        """A call of a function, or the number of one that is over, to the client."""
        if isinstance(said, int):
            self._out.put_nowait(pb.SessionEvent(call_cancelled=pb.FunctionCallCancelled(call_id=said)))
            return
        call = pb.FunctionCall(
            call_id=said.call_id,
            name=said.name,
            arguments_json=said.arguments,
            id=self._ids.get(said.execution_id, ""),
            execution_id=said.execution_id,
            timeout_ms=int(said.timeout_s * 1_000),
        )
        if self._unread + len(said.arguments) > MOST_UNREAD_BYTES:
            message = f"the client has not read {self._unread} bytes of calls; nothing was sent"
            raise HostCallError("unavailable", message, retryable=True, details={"sent": False})
        self._unread += len(said.arguments)
        self._out.put_nowait(pb.SessionEvent(call=call))

    async def events(self) -> AsyncIterator[pb.SessionEvent]:
        """What the client is told, until it says no more and its programs have ended. Raises ApiError."""
        assert self.offer is not None
        self._begin(self._read())
        self._rest()
        names = list(self.offer.catalog.tools)
        yield pb.SessionEvent(opened=pb.SessionOpened(session_id=self.offer.id, names=names))
        while (event := await self._out.get()) is not None:
            if isinstance(event, ApiError):
                raise event
            if event.WhichOneof("event") in {"execution", "refused"}:
                self._room.release()
            if event.HasField("call"):
                self._unread -= len(event.call.arguments_json)
            yield event

    async def close(self) -> None:
        """End what is under way: programs lose their client."""
        if self._idle is not None:
            self._idle.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _rest(self) -> None:
        """Count the time without a message or a program anew."""
        if self._idle is not None:
            self._idle.cancel()
        self._idle = None
        if not self._running:
            idle = _idle(self._idle_s)
            self._idle = asyncio.get_running_loop().call_later(self._idle_s, self._out.put_nowait, idle)

    async def _read(self) -> None:
        try:
            async for request in self._requests:
                await self._take(request)
                self._rest()
        except ApiError as error:
            self._out.put_nowait(error)
            return
        # A stream that broke has no more requests either, and is cancelled about now, with its programs.
        await asyncio.sleep(_BROKEN_S)
        # The client will say no more: what runs may end, unless it needs an answer, which cannot come.
        assert self.offer is not None
        self.offer.close()
        while self._running:
            await asyncio.wait([task for task in self._tasks if task is not asyncio.current_task()])
        self._out.put_nowait(None)

    async def _take(self, request: pb.SessionRequest) -> None:
        match request.WhichOneof("message"):
            case "execute":
                await self._execute(request.execute)
            case "answer":
                self._answer(request.answer)
            case "cancel":
                self._cancel(request.cancel)
            case "offer":
                raise bad_fields([("offer", "is sent once, as the first message; open another session")])
            case _:
                raise bad_fields([("message", "is required: execute, answer or cancel")])

    async def _execute(self, message: pb.SessionExecute) -> None:
        assert self.offer is not None
        if not 1 <= len(message.id) <= _MOST_ID:
            raise bad_fields([("execute.id", f"has {len(message.id)} characters; 1 to {_MOST_ID}")])
        if message.id in self._running:
            raise bad_fields([("execute.id", f'"{message.id}" is the id of a program that runs; choose another')])
        try:
            self._check_room()
            execution_id, events = await self._runner.begin_in(self.offer.id, message.request, self.principal)
        except ApiError as error:
            await self._refuse(message.id, error)
            return
        self._running[message.id] = execution_id
        self._ids[execution_id] = message.id
        self._begin(self._follow(message.id, execution_id, events))

    def _check_room(self) -> None:
        if len(self._running) >= MOST_RUNNING:
            said = f"{MOST_RUNNING} programs of this session run, which is the most; nothing was started"
            raise ApiError(grpc.StatusCode.RESOURCE_EXHAUSTED, "QUEUE_FULL", said, retry_after_s=1.0)

    async def _refuse(self, name: str, error: ApiError) -> None:
        after = error.retry_after_s or 0.0
        refusal = pb.SessionRefusal(id=name, reason=error.reason, message=error.message, retry_after_s=after)
        # A client that sends faster than it reads waits here.
        await self._room.acquire()
        self._out.put_nowait(pb.SessionEvent(refused=refusal))

    async def _follow(self, name: str, execution_id: str, events: EventStream) -> None:
        try:
            async with contextlib.aclosing(events) as following:
                async for event in following:
                    await self._room.acquire()
                    told = pb.SessionExecution(id=name, event=event)
                    self._out.put_nowait(pb.SessionEvent(execution=told))
        finally:
            del self._running[name], self._ids[execution_id]
            self._rest()

    def _answer(self, message: pb.FunctionAnswer) -> None:
        assert self.offer is not None
        match message.WhichOneof("outcome"):
            case "result_json":
                answer: str | Failed = message.result_json
            case "error":
                error = message.error
                answer = Failed(
                    message=error.message,
                    retryable=error.retryable,
                    retry_after_s=error.retry_after_s,
                    details=error.details_json,
                )
            case _:
                raise bad_fields([("answer", "has neither a result_json nor an error")])
        if not self.offer.answer(message.call_id, answer):
            raise bad_fields([("answer.call_id", f"is {message.call_id}; there was no such call")])

    def _cancel(self, message: pb.SessionCancel) -> None:
        if len(message.reason) > _MOST_REASON:
            raise bad_fields([("cancel.reason", f"has {len(message.reason)} characters; at most {_MOST_REASON}")])
        # One that has ended meanwhile is no fault: its end is on the way.
        if (execution_id := self._running.get(message.id)) is not None:
            reason = f"cancelled: {message.reason}" if message.reason else "cancelled"
            self._runner.cancel_in(execution_id, self.principal, reason)


def _inverse(function: pb.Function) -> OfferedInverse | None:
    if not function.HasField("inverse"):
        return None
    return OfferedInverse(name=function.inverse.name, arguments=dict(function.inverse.arguments))


def _idle(seconds: float) -> ApiError:
    message = f"nothing was sent and nothing ran for {seconds:g} seconds; open the session again when it is needed"
    return ApiError(grpc.StatusCode.DEADLINE_EXCEEDED, "SESSION_IDLE", message)
