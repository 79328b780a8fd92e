"""The one thread that writes: everything that waits goes into one transaction, and its writers wait for one fsync."""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from runtime.store.changes import Change
from runtime.store.connection import Connection, Database, Fault
from runtime.store.errors import StoreConflictError, StoreError, StoreQuotaError, StoreUnavailableError
from runtime.store.ledger import Ledger
from runtime.store.statement import Statement
from runtime.store.transaction import Transaction

log = logging.getLogger(__name__)

SOON_S: Final = 0.05
SLOW_S: Final = 5.0
"""A write that is not made by then is given up, and the store said to be slow."""
PROBE_S: Final = 0.5
"""How often a store that failed is tried again."""
MOST_WAITING: Final = 20_000
MOST_WAITING_BYTES: Final = 64 << 20
_MOST_GROUP = 500
"""Changes of one transaction, each one or two round trips on PostgreSQL; and their bytes."""
_MOST_GROUP_BYTES = 8 << 20

_HEARTBEAT = Statement.of(
    "INSERT INTO heartbeat (id, at_ns) VALUES (1, :at_ns) ON CONFLICT (id) DO UPDATE SET at_ns = excluded.at_ns"
)
_REFUSED = (StoreConflictError, StoreQuotaError)


@dataclass(slots=True, eq=False)
class Write:
    """Changes that wait. `answer`: whom to tell, None if nobody waits; `size` in bytes; `taken`: begun."""

    changes: Sequence[Change]
    size: int
    answer: asyncio.Future[None] | None
    since: float = field(default_factory=time.monotonic)
    taken: bool = False
    withdrawn: bool = False


@dataclass(slots=True, eq=False)
class Job:
    """Something else to do with the connection, in a transaction of its own."""

    work: Callable[[Transaction], Any]
    answer: asyncio.Future[Any]


class Writer:
    """Started and stopped once. Its methods are the event loop's; those that begin with `_` the thread's."""

    def __init__(self, database: Database, ledger: Ledger, *, slow_s: float = SLOW_S) -> None:
        self._database = database
        self._ledger = ledger
        self._slow_s = slow_s
        self._queue: queue.SimpleQueue[Write | Job | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._count = 0
        self._bytes = 0
        self._problem = ""
        self._busy_since = 0.0
        self._connection: Connection | None = None
        self._waiting: deque[Write] = deque()
        self._jobs: deque[Job] = deque()
        self._urgent = False
        self._stopping = False
        self._committing = False
        self._next_try = 0.0
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)

    def start(self) -> None:
        """From now on it writes."""
        self._thread.start()

    async def stop(self) -> None:
        """Write what waits, if the store takes it, and end."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    @property
    def problem(self) -> str:
        """Why writes are refused; empty if they are not."""
        if self._problem:
            return self._problem
        busy = self._busy_since
        if busy and time.monotonic() - busy > self._slow_s:
            return f"the store is slow: it has been busy with one transaction for more than {self._slow_s:g} s"
        return ""

    async def write(self, changes: Sequence[Change], size: int) -> None:
        """Raises StoreConflictError, StoreQuotaError, StoreUnavailableError."""
        if problem := self.problem:
            raise StoreUnavailableError(problem)
        answer: asyncio.Future[None] = self._loop.create_future()
        write = Write(changes, size, answer)
        self._enqueue(write)
        timer = self._loop.call_later(self._slow_s, self._give_up, write)
        try:
            await answer
        finally:
            timer.cancel()

    def write_soon(self, changes: Sequence[Change], size: int) -> None:
        """Raises StoreUnavailableError if too much waits."""
        self._enqueue(Write(changes, size, None))

    async def run[T](self, work: Callable[[Transaction], T]) -> T:
        """Do something else in a transaction of its own. Raises StoreUnavailableError."""
        answer: asyncio.Future[T] = self._loop.create_future()
        self._queue.put(Job(work, answer))
        return await answer

    def _enqueue(self, write: Write) -> None:
        with self._lock:
            if self._count >= MOST_WAITING or (self._count and self._bytes + write.size > MOST_WAITING_BYTES):
                what = f"{self._count} writes of {self._bytes} bytes wait for the store already"
                raise StoreUnavailableError(f"{what}{self.problem and ': '}{self.problem}")
            self._count += 1
            self._bytes += write.size
        self._queue.put(write)

    def _give_up(self, write: Write) -> None:
        with self._lock:
            write.withdrawn = not write.taken
        if write.answer is not None and not write.answer.done():
            message = f"the store is slow: a write was not made within {self._slow_s:g} s"
            write.answer.set_exception(StoreUnavailableError(message, maybe=write.taken))

    # The thread's, from here on.

    def _run(self) -> None:
        while not self._stopping or self._waiting or self._jobs:
            self._take(self._patience())
            if self._problem and time.monotonic() < self._next_try and not self._stopping:
                continue
            if self._problem or (self._waiting and self._due()):
                self._commit(self._group())
                if self._problem and self._stopping:
                    break
            elif self._jobs:
                self._do(self._jobs.popleft())
        self._end()

    def _patience(self) -> float | None:
        """Seconds to wait for more to do; None for as long as it takes."""
        now = time.monotonic()
        if self._problem:
            return max(0.0, self._next_try - now)
        if self._jobs or self._urgent or self._stopping:
            return 0.0
        return max(0.0, self._waiting[0].since + SOON_S - now) if self._waiting else None

    def _take(self, patience: float | None) -> None:
        """Everything that has come."""
        try:
            self._sort(self._queue.get(timeout=patience) if patience != 0 else self._queue.get_nowait())
            while True:
                self._sort(self._queue.get_nowait())
        except queue.Empty:
            pass

    def _sort(self, item: Write | Job | None) -> None:
        if item is None:
            self._stopping = True
        elif isinstance(item, Job):
            self._jobs.append(item)
        else:
            self._waiting.append(item)
            self._urgent = self._urgent or item.answer is not None

    def _due(self) -> bool:
        """Whether somebody waits for it, it has waited long enough, or something is to follow it."""
        if self._urgent or self._jobs or self._stopping:
            return True
        return time.monotonic() - self._waiting[0].since >= SOON_S

    def _group(self) -> list[Write]:
        """The next transaction's writes; those given up are left out."""
        group: list[Write] = []
        count = size = 0
        with self._lock:
            while self._waiting and count < _MOST_GROUP and size < _MOST_GROUP_BYTES:
                write = self._waiting.popleft()
                if write.withdrawn:
                    self._forget(write)
                    continue
                write.taken = True
                count += len(write.changes)
                size += write.size
                group.append(write)
        self._urgent = bool(self._waiting)
        return group

    def _forget(self, write: Write) -> None:
        self._count -= 1
        self._bytes -= write.size

    def _commit(self, group: Sequence[Write]) -> None:
        self._busy_since = time.monotonic()
        try:
            refused = self._make(group)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises; this thread must not end
            self._fail(group, self._database.fault(error, committing=self._committing))
        else:
            self._done(group, refused)
        finally:
            self._busy_since = 0.0

    def _make(self, group: Sequence[Write]) -> dict[Write, StoreError]:
        """All at once; if one is refused, again with a savepoint before each. Those refused, with the reason."""

        def together(transaction: Transaction) -> None:
            for write in group:
                transaction.make(write.changes)

        try:
            self._transact(together)
        except Exception as error:
            refusal = self._refusal(error)
            if refusal is None:
                raise
            if len(group) == 1:
                return {group[0]: refusal}
        else:
            return {}
        return self._transact(lambda transaction: self._one_by_one(transaction, group))

    def _one_by_one(self, transaction: Transaction, group: Sequence[Write]) -> dict[Write, StoreError]:
        refused: dict[Write, StoreError] = {}
        command = transaction.connection.command
        for write in group:
            command("SAVEPOINT one")
            mark = len(transaction.counted)
            try:
                transaction.make(write.changes)
            except Exception as error:
                refusal = self._refusal(error)
                if refusal is None:
                    raise
                transaction.undo(mark)
                command("ROLLBACK TO SAVEPOINT one")
                refused[write] = refusal
            command("RELEASE SAVEPOINT one")
        return refused

    def _refusal(self, error: Exception) -> StoreError | None:
        """What refuses one write; None for what has to do with the whole store."""
        if isinstance(error, _REFUSED):
            return error
        fault = self._database.fault(error, committing=self._committing)
        return None if fault.unavailable else StoreError(fault.reason)

    def _transact[T](self, work: Callable[[Transaction], T]) -> T:
        """Raises what the work and the driver raise; then nothing was made, and the ledger is as before."""
        self._committing = False
        if self._connection is None:
            self._connection = self._database.connect()
        connection = self._connection
        transaction = Transaction(connection, self._ledger)
        try:
            connection.command(self._database.begin)
            result = work(transaction)
            if self._problem:
                connection.run(_HEARTBEAT, (time.time_ns(),))
            self._committing = True
            connection.command("COMMIT")
        except BaseException:
            transaction.undo()
            with contextlib.suppress(Exception):
                connection.command("ROLLBACK")
            raise
        return result

    def _done(self, group: Sequence[Write], refused: Mapping[Write, StoreError]) -> None:
        if self._problem:
            log.warning("the store takes writes again")
            self._problem = ""
        with self._lock:
            for write in group:
                self._forget(write)
        for write, error in refused.items():
            if write.answer is None:
                log.warning("a write that nobody waits for was refused: %s", error)
        self._tell([(write.answer, refused.get(write)) for write in group])

    def _fail(self, group: Sequence[Write], fault: Fault) -> None:
        """Those that somebody waits for fail; the others wait for the next try, before all that came later."""
        if fault.reason != self._problem:
            log.error("the store takes no writes: %s", fault.reason)
        self._problem = fault.reason
        self._next_try = time.monotonic() + PROBE_S
        self._disconnect()
        with self._lock:
            for write in group:
                write.taken = False
                if write.answer is not None:
                    self._forget(write)
        self._waiting.extendleft(reversed([write for write in group if write.answer is None]))
        error = StoreUnavailableError(fault.reason, maybe=fault.maybe)
        self._tell([(write.answer, error) for write in group])
        while self._jobs:
            self._tell([(self._jobs.popleft().answer, error)])

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _do(self, job: Job) -> None:
        self._busy_since = time.monotonic()
        try:
            result = self._transact(job.work)
        except Exception as error:  # noqa: BLE001 - as above
            fault = self._database.fault(error, committing=self._committing)
            if fault.unavailable:
                self._jobs.appendleft(job)
                self._fail((), fault)
            else:
                self._tell([(job.answer, StoreError(fault.reason))])
        else:
            self._hand(job.answer, result)
        finally:
            self._busy_since = 0.0

    def _end(self) -> None:
        error = StoreUnavailableError(self._problem or "the store is closed")
        while True:
            self._take(0)
            if not self._waiting and not self._jobs:
                break
            self._tell([(write.answer, error) for write in self._waiting])
            self._tell([(job.answer, error) for job in self._jobs])
            self._waiting.clear()
            self._jobs.clear()
        self._disconnect()

    def _tell(self, answers: Iterable[tuple[asyncio.Future[Any] | None, StoreError | None]]) -> None:
        told = [(answer, error) for answer, error in answers if answer is not None]
        if told:
            self._soon(_answer, told)

    def _hand[T](self, answer: asyncio.Future[T], result: T) -> None:
        self._soon(lambda: None if answer.done() else answer.set_result(result))

    def _soon(self, call: Callable[..., Any], *arguments: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
            self._loop.call_soon_threadsafe(call, *arguments)


def _answer(told: Iterable[tuple[asyncio.Future[Any], StoreError | None]]) -> None:
    for answer, error in told:
        if answer.done():
            continue
        if error is None:
            answer.set_result(None)
        else:
            answer.set_exception(error)
