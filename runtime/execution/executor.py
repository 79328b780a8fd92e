"""Runs executions: admits, queues, hands to workers, ends and remembers them."""

import asyncio
import contextlib
import itertools
import logging
import time
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from runtime.execution.archive import Archive
from runtime.execution.byte_budget import MOST_HELD, ByteBudget, Hold
from runtime.execution.call_gate import CallGate
from runtime.execution.execution import PAUSED, Execution, Failure, Program
from runtime.execution.fair_queue import FairQueue
from runtime.execution.host_calls import Fetcher, HostCalls, Tools
from runtime.execution.hostcall import CallContext
from runtime.execution.image_index import ImageIndex
from runtime.execution.journal import Journal
from runtime.execution.kept_sessions import KeptSessions
from runtime.execution.late_records import may_be_told_first
from runtime.execution.pause import Pause
from runtime.execution.registry import Registry
from runtime.execution.replay import replay_of
from runtime.execution.result_cut import cut_result
from runtime.execution.results import MemoryResults, Results
from runtime.execution.running import AGAIN, RunningExecution
from runtime.execution.tokens import ExecutionTokens, TokenMint
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

_YOUNG_S = 0.05
_LOOK_AGAIN_S = 0.01
_CALM = 4
# So that a tenant whose programs wait for long leaves places for others.
_MOST_SHARE = 0.75


class QueueFullError(RuntimeError):
    """No more executions are taken for now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How many executions may be under way, and how many may wait, in all and for one tenant.

    At most `young` are in their first 50 ms before any host call, and `newcomers` more that are their tenants' only
    ones: others would only wait in the workers, out of reach of the fair queue. `held_bytes`: of programs, inputs, host
    calls and their answers, logs and results.
    """

    running: int = 512
    queued: int = 2_000
    queued_per_tenant: int = 1_500
    young: int = 6
    newcomers: int = 16
    held_bytes: int = MOST_HELD


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
        store: Store | None = None,
        gate: CallGate | None = None,
    ) -> None:
        self._store = store
        self._gate = gate
        self.in_force: Callable[[Profile], Profile] = lambda profile: profile
        self.on_ended: Callable[[Execution], None] = lambda _execution: None
        self._pauses: dict[str, Pause] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.results = results or MemoryResults()
        self.archive = Archive(registry or Registry(), store)
        self.registry = self.archive.registry
        self._pool = pool
        self._tools = tools
        self._fetcher = fetcher
        self._mint = mint
        self._bounds = bounds or Bounds()
        self._budget = ByteBudget(self._bounds.held_bytes)
        self._images = ImageIndex(pool.images)
        self._numbers = itertools.count(1)
        self.verifier = Verifier(pool, self._images, store, self._numbers)
        self.sessions = KeptSessions(store, self, self.verifier)
        self._runs: dict[str, RunningExecution] = {}
        self._tokens: dict[str, ExecutionTokens] = {}
        self._young: dict[str, float] = {}
        self._by_tenant: Counter[str] = Counter()
        self._queue = FairQueue()
        self._looking = False
        self._resting = self._closing = False
        pool.on_available = self._start_next

    @property
    def idle(self) -> bool:
        """Whether nothing runs and nothing waits."""
        return not self._runs and not self._queue

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
        bounds = self._bounds
        if len(self._queue) >= bounds.queued:
            raise QueueFullError(f"{len(self._runs)} executions run and {len(self._queue)} wait, which is the most")
        if self._queue.waiting(program.caller.tenant) >= bounds.queued_per_tenant:
            raise QueueFullError(f"{bounds.queued_per_tenant} executions of {program.caller.owner} wait already")
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
            self._queue.push(execution)
            self._start_next()

    def cancel(self, execution: Execution, reason: str) -> None:
        """End an execution that has not ended; `execution.ended` is set soon after, at the latest by the kill."""
        if execution.state == "queued":
            with contextlib.suppress(ValueError):  # it may wait for its session
                self._queue.remove(execution)
            self._end(execution, Status.CANCELLED, Failure(name="Cancelled", message=reason))
        elif (run := self._runs.get(execution.id)) is not None:
            run.cancel(reason)
        elif (pause := self._pauses.get(execution.id)) is not None:
            pause.cancelled = reason
        elif execution.state == "paused":
            execution.state = "running"
            self._end(execution, Status.CANCELLED, Failure(name="Cancelled", message=reason))

    # Pausing and going on.

    def _pause(self, execution: Execution) -> None:
        """Nothing of it is held but rows in the store, and what clients that follow it have."""
        pause = self._pauses[execution.id] = Pause(execution)
        self._spawn(self._paused(pause))

    async def _paused(self, pause: Pause) -> None:
        execution = pause.execution
        try:
            await pause.record()
        except StoreError as error:
            log.error("%s cannot be paused: %s", execution.id, error)
            self._end(execution, "lost", Failure(name="StoreError", message=str(error)))
            return
        finally:
            del self._pauses[execution.id]
        if pause.cancelled:
            self.cancel(execution, pause.cancelled)
            return
        if pause.decided:
            self._go_on(execution)
            return
        self.let_go(execution)
        if pause.due_ns:
            wait_s = max(0.0, (pause.due_ns - time.time_ns()) / 1e9)
            asyncio.get_running_loop().call_later(wait_s, self._due, execution.id)

    def let_go(self, execution: Execution) -> None:
        """Forget a paused execution that nobody follows: the store has it."""
        if execution.state == "paused" and not execution.watchers:
            self.registry.forget(execution)

    def _due(self, execution_id: str) -> None:
        if not self._closing:
            self._spawn(self.resume(execution_id))

    def decided(self, execution_id: str, number: int) -> None:
        """Somebody decided about a call: it is asked about again, and a paused execution goes on."""
        if (run := self._runs.get(execution_id)) is not None:
            run.decided(number)
        elif (pause := self._pauses.get(execution_id)) is not None:
            pause.decided = True
        else:
            self._spawn(self.resume(execution_id))

    async def resume(self, execution_id: str) -> None:
        """Let an execution go on that waits in the store. Nothing happens to one that runs, or has ended."""
        try:
            execution = await self.archive.take(execution_id)
        except StoreError as error:
            log.error("%s does not go on: %s", execution_id, error)
            return
        if execution is not None and execution.state == "paused":
            self._go_on(execution)

    async def recover(self) -> int:
        """Let all that ran when the last gateway died go on; how many they are. Raises StoreUnavailableError."""
        left = await self.archive.left_behind()
        for execution in left:
            self._go_on(execution)
        self.archive.settle(alone=True)
        return len(left)

    # What sessions ask for.

    def start_in_session(self, execution: Execution) -> None:
        """Queue a program whose session is ready for it."""
        self._queue.push(execution)
        self._start_next()

    def session_lost(self, execution: Execution, reason: str) -> None:
        """End a program whose session's globals cannot be had."""
        message = f"the globals of its session are gone: {reason}; the next program of this session_id begins anew"
        if execution.state != "ended":
            self._end(execution, "lost", Failure(name="SessionLost", message=message))

    def _go_on(self, execution: Execution) -> None:
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

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _start_next(self) -> None:
        while self._queue and not self._closing:
            has_room = not self._resting and self._has_room()
            found = self._queue.pop(self._place if has_room else self._place_newcomer)
            if found is None:
                return
            self._start(*found)
            if has_room and len(self._runs) > _CALM:
                self._rest()

    def _rest(self) -> None:
        """Start the next two turns of the event loop later.

        gRPC hands over one request a turn. If more than one execution could end in each, requests would pile up where
        they are served in the order they came, and a tenant's thousand would delay another's first.
        """
        self._resting = True
        loop = asyncio.get_running_loop()
        loop.call_soon(loop.call_soon, self._rested)

    def _rested(self) -> None:
        self._resting = False
        self._start_next()

    def _has_room(self) -> bool:
        now = time.monotonic()
        while self._young:
            oldest = next(iter(self._young))
            if now - self._young[oldest] < _YOUNG_S:
                break
            del self._young[oldest]
        if len(self._runs) >= self._bounds.running:
            return False
        if len(self._young) < self._bounds.young:
            return True
        if not self._looking:
            self._looking = True
            asyncio.get_running_loop().call_later(_LOOK_AGAIN_S, self._look_again)
        return False

    def _look_again(self) -> None:
        self._looking = False
        self._start_next()

    def _place(self, execution: Execution) -> Link | None:
        caller = execution.program.caller
        if self._by_tenant[caller.tenant] >= max(1, int(self._bounds.running * _MOST_SHARE)):
            return None
        return self.sessions.place_of(execution) or self._pool.acquire(
            execution.program.profile.isolation, caller.tenant
        )

    def _place_newcomer(self, execution: Execution) -> Link | None:
        """A tenant of whom nothing runs need not wait until others' executions are old enough."""
        bounds = self._bounds
        if self._by_tenant[execution.program.caller.tenant]:
            return None
        if len(self._young) >= bounds.young + bounds.newcomers or len(self._runs) >= bounds.running:
            return None
        return self._place(execution)

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
        self._young[execution.id] = execution.started
        self._by_tenant[program.caller.tenant] += 1
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
        self._young.pop(execution.id, None)
        tenant = execution.program.caller.tenant
        self._by_tenant[tenant] -= 1
        if not self._by_tenant[tenant]:
            del self._by_tenant[tenant]
        if execution.program.kept_session:
            self.sessions.ran(execution, run.link)
        if status == AGAIN:
            execution.state = execution.status = "queued"
            self._enqueue(execution)
        elif status == PAUSED:
            self._pause(execution)
        else:
            self._end(execution, status, failure)
        self._pool.release(run.link, execution.program.profile.isolation)
        self._start_next()

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

    async def close(self) -> None:
        """End what no store knows of; the rest is left to the next gateway. Waits until that is so."""
        self._closing = True
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
