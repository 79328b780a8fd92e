"""Runs executions: admits, queues, hands to workers, ends and remembers them."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Coroutine

from runtime.execution.archive import Archive
from runtime.execution.bounds import Bounds, QueueFullError
from runtime.execution.byte_budget import ByteBudget, Hold
from runtime.execution.call_gate import CallGate
from runtime.execution.execution import PAUSED, Execution, Failure, Program
from runtime.execution.host_calls import Fetcher, HostCalls, Tools
from runtime.execution.hostcall import CallContext
from runtime.execution.image_index import ImageIndex
from runtime.execution.journal import Journal
from runtime.execution.kept_sessions import KeptSessions
from runtime.execution.late_records import may_be_told_first
from runtime.execution.pauses import Pauses
from runtime.execution.registry import Registry
from runtime.execution.replay import replay_of
from runtime.execution.result_cut import cut_result
from runtime.execution.results import MemoryResults, Results
from runtime.execution.running import AGAIN, RunningExecution
from runtime.execution.session_store import SessionStores
from runtime.execution.tokens import ExecutionTokens, TokenMint
from runtime.execution.turns import Turns
from runtime.execution.verifier import Verifier
from runtime.isolate import Status
from runtime.isolate.erasure import Types
from runtime.store.errors import StoreError, StoreUnavailableError
from runtime.store.store import Store
from runtime.worker.link import Link
from runtime.worker.pool import WorkerPool
from sandboxes.profile import Profile
from sandboxes.walls import missing_walls

log = logging.getLogger(__name__)


class Executor:
    """The executions of one cell. Everything happens on the event loop."""

    def __init__(  # noqa: PLR0913 - its collaborators
        self,
        pool: WorkerPool,
        tools: Tools,
        fetcher: Fetcher,
        mint: TokenMint,
        *,
        bounds: Bounds | None = None,
        registry: Registry | None = None,
        results: Results | None = None,
        stores: SessionStores | None = None,
        store: Store | None = None,
        gate: CallGate | None = None,
    ) -> None:
        self._store = store
        self._gate = gate
        self.in_force: Callable[[Profile], Profile] = lambda profile: profile
        self.on_ended: Callable[[Execution], None] = lambda _execution: None
        self._tasks: set[asyncio.Task[None]] = set()
        self.results = results or MemoryResults()
        self.archive = Archive(registry or Registry(), store)
        self.registry = self.archive.registry
        self._pool = pool
        self._tools = tools
        self._fetcher = fetcher
        self._mint = mint
        bounds = bounds or Bounds()
        self._budget = ByteBudget(bounds.held_bytes)
        self._images = ImageIndex(pool.images)
        self._numbers = itertools.count(1)
        self.verifier = Verifier(pool, self._images, store, self._numbers)
        self.sessions = KeptSessions(store, self, self.verifier, stores or SessionStores())
        self._runs: dict[str, RunningExecution] = {}
        self._tokens: dict[str, ExecutionTokens] = {}
        self._turns = Turns(bounds, self._find_worker, self._start)
        self.pauses = Pauses(self.archive, self)
        pool.on_available = self._turns.start_next

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return self._turns.idle

    def submit(self, program: Program) -> Execution:
        """Start, or queue, an execution. Raises QueueFullError, and StoreUnavailableError."""
        execution = self._admitted(program)
        self.registry.add(execution)
        self._enqueue(execution)
        return execution

    async def accept(self, program: Program) -> Execution:
        """As `submit`, with a durable row before it starts: its idempotency key never runs twice.

        Raises SessionRefusedError as well.
        """
        execution = self._admitted(await self.sessions.enter(program))
        self.registry.add(execution)
        if (journal := execution.journal) is not None:
            try:
                await journal.write()
            except StoreError as error:
                failure = Failure(name="StoreError", message=f"{error}; nothing was started")
                self._conclude(execution, Status.CANCELLED, failure)
                self.registry.forget(execution)
                raise
        if execution.state == "queued":
            self._enqueue(execution)
        return execution

    def _admitted(self, program: Program) -> Execution:
        self._turns.check(program.caller)
        if self._store is not None and not self._store.state.ok:
            raise StoreUnavailableError(self._store.state.reason)
        hold = Hold(self._budget)
        if not hold.take(len(program.code) + len(program.inputs)):
            raise QueueFullError(
                f"the service holds {self._budget.held} bytes for its executions, of held_bytes {self._budget.most}"
            )
        execution = Execution(
            program=program,
            image_digest=self.sessions.digest_of(program) or self._images.digest(program),
            parser_digest="" if program.types is Types.KEEP else self._pool.parser_digest,
            hold=hold,
        )
        if self._store is not None:
            execution.journal = Journal(self._store, execution)
        return execution

    def _enqueue(self, execution: Execution) -> None:
        if execution.program.kept_session:
            self.sessions.enqueue(execution)
        else:
            self._turns.wait(execution)

    def cancel(self, execution: Execution, reason: str) -> None:
        """End an execution that has not ended; `execution.ended` is set soon after, at the latest by the kill."""
        if execution.state == "queued":
            with contextlib.suppress(ValueError):  # it may wait for its session
                self._turns.leave(execution)
            self._end(execution, Status.CANCELLED, Failure(name="Cancelled", message=reason))
        elif (run := self._runs.get(execution.id)) is not None:
            run.cancel(reason)
        elif (pause := self.pauses.of(execution.id)) is not None:
            pause.cancelled = reason
        elif execution.state == "paused":
            execution.state = "running"
            self._end(execution, Status.CANCELLED, Failure(name="Cancelled", message=reason))

    def decided(self, execution_id: str, number: int) -> None:
        """Somebody decided about a call: it is asked about again, and a paused execution goes on."""
        if (run := self._runs.get(execution_id)) is not None:
            run.decided(number)
        else:
            self.pauses.decided(execution_id)

    async def recover(self) -> int:
        """Let all that ran when the last gateway died go on, and what is paused wake; how many ran.

        Raises StoreUnavailableError, and then nothing has happened.
        """
        waking = await self.archive.waking()
        left = await self.archive.left_behind()
        for execution in left:
            self.go_on(execution)
        for execution_id, due_ns in waking.items():
            self.pauses.wake(execution_id, due_ns)
        self.archive.settle(alone=True)
        return len(left)

    # What sessions and pauses ask for.

    def start_in_session(self, execution: Execution) -> None:
        """Queue a program whose session is ready for it."""
        self._turns.wait(execution)

    def session_lost(self, execution: Execution, reason: str) -> None:
        """End a program whose session's globals cannot be had."""
        message = f"the globals of its session are gone: {reason}; the next program of this session_id begins anew"
        if execution.state != "ended":
            self._end(execution, "lost", Failure(name="SessionLost", message=message))

    def pause_failed(self, execution: Execution, reason: str) -> None:
        """End one that cannot pause."""
        self._end(execution, "lost", Failure(name="StoreError", message=reason))

    def go_on(self, execution: Execution) -> None:
        """Queue one that has run before, if the image it began on is still here."""
        if not self._images.has(execution):
            message = f"the image {execution.image_digest} it began on is no longer here, so it cannot go on"
            execution.state = "running"
            self._end(execution, "image_retired", Failure(name="ImageRetired", message=message))
            return
        if execution.state == "paused":
            execution.happened("resumed")
        execution.state = execution.status = "queued"
        execution.halted.clear()
        execution.hold = Hold(self._budget)
        execution.hold.add(execution.size)
        self._enqueue(execution)

    # Running.

    def _find_worker(self, execution: Execution) -> Link | None:
        program = execution.program
        return self.sessions.place_of(execution) or self._pool.acquire(program.profile.isolation, program.caller.tenant)

    def _start(self, execution: Execution, link: Link) -> None:
        execution.started = time.monotonic()
        execution.began = execution.began or execution.started
        execution.attempts += 1
        execution.state = execution.status = "running"
        run = RunningExecution(self._finished, execution, link, next(self._numbers), self._host_calls)
        program = execution.program
        run.begin(self._images.place(execution), replay_of(execution), self.sessions.seat(execution))
        # From here on in parallel with the worker, whose frames come in a later turn.
        self._runs[execution.id] = run
        self._turns.began(execution)
        # The egress proxy knows the profiles in force; of one that goes on, that may be another than it began under.
        terms = program.profile if execution.attempts == 1 else self.in_force(program.profile)
        self._tokens[execution.id] = self._mint.for_execution(
            execution.id, program.caller, terms.digest(), execution.ends - execution.started
        )
        execution.missing_walls = missing_walls(link.walls)
        execution.happened("started")
        if execution.journal is not None and execution.journal.kept:
            execution.journal.changed()

    def _host_calls(self, execution: Execution) -> HostCalls:
        """For an execution that makes some: most make none."""
        program = execution.program
        context = CallContext(
            execution_id=execution.id,
            actor=program.caller.actor,
            environment=program.caller.environment,
            token=self._tokens[execution.id],
            deadline=execution.ends,
            max_response_bytes=program.limits.response_bytes,
            tools=program.profile.tools,
            approvals=program.profile.approvals,
            catalog_profile=program.catalog_profile,
            language="python" if program.language == "python" else "javascript",
            session=program.session,
            tenant=program.caller.tenant,
            store=program.session_id or program.session,
            limits=program.limits,
            emit=execution.emit,
            read_only=program.read_only,
        )
        return HostCalls(execution, context, self._tools, self._fetcher, self._budget, self._gate)

    def _finished(self, execution: Execution, status: str, failure: Failure | None) -> None:
        """Called by a run, once."""
        run = self._runs.pop(execution.id)
        tokens = self._tokens.pop(execution.id)
        if status not in {AGAIN, PAUSED}:
            self._mint.revoke(execution.id, tokens)
        self._turns.left(execution)
        if execution.program.kept_session:
            self.sessions.ran(execution, run.link)
        if status == AGAIN:
            execution.state = execution.status = "queued"
            self._enqueue(execution)
        elif status == PAUSED:
            self.pauses.begin(execution)
        else:
            self._end(execution, status, failure)
        self._pool.release(run.link, execution.program.profile.isolation)
        self._turns.start_next()

    # Ending.

    def _end(self, execution: Execution, status: str, failure: Failure | None) -> None:
        """The execution is over. What changed something, and the store has, is told once the store has its end too."""
        journal = execution.journal
        if journal is None or not journal.kept:
            self._conclude(execution, status, failure)
        elif may_be_told_first(execution):
            self._fill_end(execution, status, failure)
            journal.changed()
            self._tell_end(execution)
            self.archive.late.add(execution, journal)
        else:
            execution.state = "running"
            self._spawn(self._end_durably(execution, journal, status, failure))

    async def _end_durably(self, execution: Execution, journal: Journal, status: str, failure: Failure | None) -> None:
        self._fill_end(execution, status, failure)
        journal.changed()
        try:
            await journal.write_surely()
        except Exception:
            # Its client hears of the end all the same.
            log.exception("the end of %s cannot be kept", execution.id)
        execution.hold.release()
        self._tell_end(execution)

    def _conclude(self, execution: Execution, status: str, failure: Failure | None) -> None:
        self._fill_end(execution, status, failure)
        execution.hold.release()
        self._tell_end(execution)

    def _fill_end(self, execution: Execution, status: str, failure: Failure | None) -> None:
        execution.failure = failure
        if status == Status.SUCCEEDED:
            cut_result(execution, self.results)
        execution.ended_ns = time.time_ns()
        execution.status = status

    def _tell_end(self, execution: Execution) -> None:
        execution.state = "ended"
        self.registry.note_ended(execution)
        if execution.program.kept_session:
            self.sessions.ended(execution)
        execution.journal = None
        self.on_ended(execution)
        execution.halted.set()
        execution.ended.set()
        execution.changed.set()

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End what no store knows of; the rest is left to the next gateway. Waits until that is so."""
        self._turns.stop()
        self.pauses.stop()
        self.sessions.stop()
        running = self.registry.running()
        kept = [each for each in running if each.journal is not None and each.journal.kept]
        for execution in running:
            if execution not in kept:
                self.cancel(execution, "the service is shutting down")
        for execution in kept:
            if (run := self._runs.get(execution.id)) is not None:
                await run.freeze()
            if execution.journal is not None:
                await execution.journal.close()
        for execution in running:
            if execution not in kept:
                await execution.ended.wait()
        await self.archive.late.close()
