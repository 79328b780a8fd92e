"""A worker process: frames in, isolates run on threads of their own, frames out."""

import contextlib
import functools
import logging
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from runtime.isolate import Event, Guest, LogLine, Outcome, RunSlots, Status, Trace
from runtime.isolate.engine import THREAD_STACK_BYTES, Ticker
from runtime.isolate.erasure import Types
from runtime.isolate.isolate import REHEARSAL_LIMITS, settle
from runtime.isolate.replaying import ReplayingGuest
from runtime.isolate.trace import TRACE_PART
from runtime.isolate.typed_run import run_typed
from runtime.isolate.typescript import TypeEraser
from runtime.worker import frames
from runtime.worker.frames import Call, Decoder, Kind, Run
from runtime.worker.kept_isolates import KeptIsolates
from runtime.worker.lockdown import Walls
from runtime.worker.place import Place, SessionPlace
from runtime.worker.replay_frames import ReplayReader, encode_trace
from runtime.worker.spares import Spares

log = logging.getLogger(__name__)

_MOST_READERS = 16
_RECEIVE_BYTES = 1 << 18


class Worker:
    """Serves one gateway over one socket until that socket closes.

    Threads take turns at reading. The one that reads a program runs it, and keeps its turn unless the program waits or
    runs for a tick. Only then the next in line wakes to read on: waking it for every program would cost as much as the
    rest of a short one.
    """

    def __init__(
        self, spares: Sequence[Spares], eraser: TypeEraser, link: socket.socket, slots: int, walls: Walls
    ) -> None:
        self._spares = spares
        self._link = link
        self._walls = walls
        self._slots = _ReadersSlots(slots, self._pass_on)
        tickers: dict[int, Ticker] = {}
        for engine in (eraser.engine, *(each.engine for each in spares)):
            if id(engine) not in tickers:
                tickers[id(engine)] = Ticker(engine)
        self._tickers = [tickers[id(each.engine)] for each in spares]
        self._eraser = eraser
        eraser.ticker = tickers[id(eraser.engine)]
        self._decoder = Decoder()
        self._sending = threading.Lock()
        self._reading = threading.Lock()
        self._reader = 0
        self._jobs: deque[_Job] = deque()
        self._guests: dict[int, Guest] = {}
        self._replays: dict[int, ReplayReader] = {}
        self._kept = KeptIsolates()
        self._readers = 0
        self._counting = threading.Lock()

    def serve(self) -> NoReturn:
        """Say hello and serve. Ends the process; an engine with a live timer must not be torn down."""
        threading.stack_size(THREAD_STACK_BYTES)
        self._add_reader(first=True)
        while True:
            threading.Event().wait()  # until a reader ends the process

    def _add_reader(self, *, first: bool = False) -> None:
        with self._counting:
            self._readers += 1
        threading.Thread(target=self._work, args=[first], name="guest", daemon=True).start()

    def _rehearse(self) -> None:
        """Run something in each image, from frame to frame, and tell nobody.

        What a fork shares with its zygote is copied now, page by page, not while a program waits.
        """
        for image, spares in enumerate(self._spares):
            run = Run(image=image, seed=bytes(32), start_ns=0, limits=REHEARSAL_LIMITS, program="1", inputs="null")
            for frame in self._decoder.feed(frames.encode_run(0, run)):
                self._start(0, frames.decode_run(frame.payload), time.monotonic(), _Unheard)
            self._perform(self._jobs.popleft())
            spares.refill_one()

    def _work(self, first: bool) -> None:  # noqa: FBT001 - a thread's argument
        """Read until there is a program, run it, and read again; counted as a reader except while it runs."""
        try:
            if first:
                self._rehearse()
                # The next in line: without it the first program would wait for a thread to be made.
                self._add_reader()
                self.send(frames.encode_hello(self._walls))
            while True:
                self._reading.acquire()
                self._reader = threading.get_ident()
                while self._has_turn():
                    self._execute(self._next_job())
                with self._counting:
                    if self._readers >= _MOST_READERS:
                        return
                    self._readers += 1
        except BaseException:
            log.exception("the worker ends")
            os._exit(70)

    def _has_turn(self) -> bool:
        """Whether it is the calling thread's turn to read."""
        return self._reader == threading.get_ident()

    def _pass_on(self) -> None:
        """Let another thread read, if it is the calling one's turn."""
        if not self._has_turn():
            return
        self._reader = 0
        with self._counting:
            self._readers -= 1
            nobody_reads = self._readers == 0
        # In this order: if no thread can be made, this one still reads when its program has ended.
        self._reading.release()
        if nobody_reads:
            self._add_reader()

    def _next_job(self) -> "_Job":
        while not self._jobs:
            self._receive()
        return self._jobs.popleft()

    def _job_waits(self) -> bool:
        """Whether there is a program to run; a thread whose turn it is looks for one."""
        if not self._jobs and self._has_turn():
            with contextlib.suppress(BlockingIOError):
                self._receive(socket.MSG_DONTWAIT)
        return bool(self._jobs)

    def _receive(self, flags: int = 0) -> None:
        try:
            data = self._link.recv(_RECEIVE_BYTES, flags)
        except ConnectionResetError:  # closed by a gateway that had not read everything
            data = b""
        if not data:
            os._exit(0)
        received = time.monotonic()
        for frame in self._decoder.feed(data):
            self._handle(frame, received)

    def send(self, data: bytes) -> None:
        """Send whole frames, in one piece. A gateway that is gone ends the process from the reading side."""
        with self._sending, contextlib.suppress(OSError):
            self._link.sendall(data)

    def _handle(self, frame: frames.Frame, received: float) -> None:
        if frame.kind == Kind.RUN:
            self._start(frame.number, frames.decode_run(frame.payload), received)
        elif frame.kind == Kind.PING:
            self.send(frames.encode(Kind.PONG, frame.number))
        elif frame.kind == Kind.REPLAY:
            self._read_replay(frame)
        elif frame.kind == Kind.END_SESSION:
            self._kept.end(frames.decode_end_session(frame.payload))
        elif (guest := self._guests.get(frame.number)) is None:
            return
        elif frame.kind == Kind.RESULT:
            guest.deliver(Event(*frames.decode_result(frame.payload)))
        elif frame.kind == Kind.CANCEL:
            guest.end(Status.CANCELLED)
        elif frame.kind == Kind.PAUSE:
            guest.pause()

    def _read_replay(self, frame: frames.Frame) -> None:
        reader = self._replays.get(frame.number)
        if reader is None:
            self._replays[frame.number] = ReplayReader(frame.payload)
        else:
            reader.feed(frame.payload)

    def _start(self, number: int, run: Run, received: float, make_channel: "type[_GuestChannel] | None" = None) -> None:
        reader = self._replays.pop(number, None) if self._replays else None
        make = Guest if reader is None else functools.partial(ReplayingGuest, reader.replay())
        channel = (make_channel or _GuestChannel)(self, number)
        guest = self._guests[number] = make(
            limits=run.limits,
            seed=run.seed,
            start_ns=run.start_ns,
            channel=channel,
            slots=self._slots,
            received=received,
            clock_ms=run.clock_ms,
        )
        self._jobs.append(_Job(number, run, guest, channel))

    def _execute(self, job: "_Job") -> None:
        """Run a program, and make ready for the next unless that is here already."""
        self._perform(job)
        spares = self._spares[job.run.image]
        while not self._job_waits() and spares.refill_one():
            pass
        if job.run.types is not Types.KEEP:
            self._eraser.prepare()

    def _perform(self, job: "_Job") -> None:
        """Run a program, tell its end, and free what it held."""
        run, guest = job.run, job.guest
        spares = self._spares[run.image]
        place = SessionPlace(spares, self._kept, run) if run.session else Place(spares)
        with self._tickers[run.image]:
            if not guest.begin():
                self._done(job, place.kept(settle(guest, trapped=True)))
                place.leave()
                return
            outcome = guest.checked(self._run(guest, run, place))
            guest.finish()
        self._done(job, place.kept(outcome))
        place.leave()

    def _run(self, guest: Guest, run: Run, place: Place) -> Outcome:
        if place.lost:
            guest.end(Status.SESSION_LOST)
            return settle(guest, trapped=True)
        if run.types is Types.KEEP:
            return place.take().run(guest, run.program, run.inputs, run.position)
        return run_typed(guest, run.program, run.inputs, run.types, run.position, take=place.take, eraser=self._eraser)

    def _done(self, job: "_Job", outcome: Outcome) -> None:
        del self._guests[job.number]
        job.channel.done(outcome)


class _ReadersSlots(RunSlots):
    """The run slots of guests whose threads have to read: before one waits, and at its ticks, another shall."""

    def __init__(self, count: int, pass_on: Callable[[], None]) -> None:
        super().__init__(count)
        self._pass_on = pass_on

    @property
    def contended(self) -> bool:
        self._pass_on()
        return super().contended

    def acquire(self, deadline: float) -> bool:
        if self.taken:
            self._pass_on()
        return super().acquire(deadline)

    def release(self) -> None:
        self._pass_on()
        super().release()


class _Job(NamedTuple):
    """One program and what was made for it."""

    number: int
    run: Run
    guest: Guest
    channel: "_GuestChannel"


class _GuestChannel:
    """Turns one guest's host calls and log lines into frames. A part of its trace waits for what follows it."""

    def __init__(self, worker: Worker, number: int) -> None:
        self._worker = worker
        self._number = number
        self._trace = b""

    def submit(self, call_id: int, kind: int, name: str, payload: str) -> None:
        self._send(frames.encode_call(self._number, Call(call_id, kind, name, payload)))

    def log(self, lines: list[LogLine]) -> None:
        self._send(frames.encode_log(self._number, lines))

    def taken(self, size: int) -> None:
        self._send(frames.encode_taken(self._number, size))

    def trace(self, trace: Trace) -> None:
        self._trace += encode_trace(self._number, trace)
        if len(trace.data) >= TRACE_PART:
            self._send(b"")

    def live(self) -> None:
        self._send(frames.encode(Kind.LIVE, self._number))

    def blocked(self) -> None:
        self._send(frames.encode(Kind.BLOCKED, self._number))

    def done(self, outcome: Outcome) -> None:
        """Tell the end; nothing follows."""
        self._send(frames.encode_done(self._number, outcome))

    def _send(self, data: bytes) -> None:
        if self._trace:
            data, self._trace = self._trace + data, b""
        self._worker.send(data)


class _Unheard(_GuestChannel):
    """That of a rehearsal."""

    def _send(self, _: bytes) -> None:
        self._trace = b""
