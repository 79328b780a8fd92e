"""Runs executions: admits, queues, hands to workers, ends and remembers them."""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass

from runtime.execution.byte_budget import MOST_HELD, ByteBudget, Hold
from runtime.execution.execution import Execution, Failure, Program
from runtime.execution.fair_queue import FairQueue
from runtime.execution.host_calls import Fetcher, HostCalls, Tools
from runtime.execution.hostcall import CallContext
from runtime.execution.registry import Registry
from runtime.execution.result_cut import cut_result
from runtime.execution.results import MemoryResults, Results
from runtime.execution.running import AGAIN, RunningExecution
from runtime.execution.tokens import ExecutionTokens, TokenMint
from runtime.isolate import Status
from runtime.isolate.erasure import Types
from runtime.worker.link import Link
from runtime.worker.pool import WorkerPool
from sandboxes.walls import missing_walls

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
    ) -> None:
        self.results = results or MemoryResults()
        self.registry = registry or Registry()
        self._pool = pool
        self._tools = tools
        self._fetcher = fetcher
        self._mint = mint
        self._bounds = bounds or Bounds()
        self._budget = ByteBudget(self._bounds.held_bytes)
        self._digests = {image.name: f"sha256:{image.digest}" for image in pool.images}
        self._runs: dict[str, RunningExecution] = {}
        self._tokens: dict[str, ExecutionTokens] = {}
        self._young: dict[str, float] = {}
        self._by_tenant: Counter[str] = Counter()
        self._queue = FairQueue()
        self._numbers = 0
        self._looking = False
        self._resting = False
        pool.on_available = self._start_next

    def submit(self, program: Program) -> Execution:
        """Start, or queue, an execution. Raises QueueFullError."""
        bounds = self._bounds
        if len(self._queue) >= bounds.queued:
            raise QueueFullError(f"{len(self._runs)} executions run and {len(self._queue)} wait, which is the most")
        if self._queue.waiting(program.caller.tenant) >= bounds.queued_per_tenant:
            raise QueueFullError(f"{bounds.queued_per_tenant} executions of {program.caller.owner} wait already")
        hold = Hold(self._budget)
        if not hold.take(len(program.code) + len(program.inputs)):
            raise QueueFullError(
                f"the service holds {self._budget.held} bytes for its executions, of held_bytes {self._budget.most}"
            )
        execution = Execution(
            program=program,
            image_digest=self._digests[program.image],
            parser_digest="" if program.types is Types.KEEP else self._pool.parser_digest,
            hold=hold,
        )
        self.registry.add(execution)
        self._queue.push(execution)
        self._start_next()
        return execution

    def cancel(self, execution: Execution, reason: str) -> None:
        """End an execution that has not ended; `execution.ended` is set soon after, at the latest by the kill."""
        if execution.state == "queued":
            self._queue.remove(execution)
            self._end(execution, Status.CANCELLED, Failure(name="Cancelled", message=reason))
        elif (run := self._runs.get(execution.id)) is not None:
            run.cancel(reason)

    def _start_next(self) -> None:
        while self._queue:
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
        return self._pool.acquire(execution.program.profile.isolation, caller.tenant)

    def _place_newcomer(self, execution: Execution) -> Link | None:
        """A tenant of whom nothing runs need not wait until others' executions are old enough."""
        bounds = self._bounds
        if self._by_tenant[execution.program.caller.tenant]:
            return None
        if len(self._young) >= bounds.young + bounds.newcomers or len(self._runs) >= bounds.running:
            return None
        return self._place(execution)

    def _start(self, execution: Execution, link: Link) -> None:
        self._numbers += 1
        execution.started = time.monotonic()
        execution.attempts += 1
        execution.state = execution.status = "running"
        run = RunningExecution(self._finished, execution, link, self._numbers, self._host_calls)
        program = execution.program
        run.begin(self._pool.image_index(program.image))
        # From here on in parallel with the worker, whose frames come in a later turn.
        self._runs[execution.id] = run
        self._young[execution.id] = execution.started
        self._by_tenant[program.caller.tenant] += 1
        self._tokens[execution.id] = self._mint.for_execution(
            execution.id, program.caller, program.profile.digest(), program.limits.wall_ms / 1e3
        )
        execution.missing_walls = missing_walls(link.walls)
        execution.happened("started")

    def _host_calls(self, execution: Execution) -> HostCalls:
        """For an execution that makes some: most make none."""
        program = execution.program
        context = CallContext(
            execution_id=execution.id,
            actor=program.caller.actor,
            environment=program.caller.environment,
            token=self._tokens[execution.id],
            deadline=execution.started + program.limits.wall_ms / 1e3,
            max_response_bytes=program.limits.response_bytes,
            tools=program.profile.tools,
            language="python" if program.language == "python" else "javascript",
            session=program.session,
            tenant=program.caller.tenant,
            store=program.session_id or program.session,
            limits=program.limits,
            emit=execution.emit,
            read_only=program.read_only,
        )
        return HostCalls(execution, context, self._tools, self._fetcher, self._budget)

    def _finished(self, execution: Execution, status: str, failure: Failure | None) -> None:
        """Called by a run, once."""
        run = self._runs.pop(execution.id)
        self._mint.revoke(execution.id, self._tokens.pop(execution.id))
        self._young.pop(execution.id, None)
        tenant = execution.program.caller.tenant
        self._by_tenant[tenant] -= 1
        if not self._by_tenant[tenant]:
            del self._by_tenant[tenant]
        if status == AGAIN:
            execution.state = execution.status = "queued"
            self._queue.push(execution)
        else:
            self._end(execution, status, failure)
        self._pool.release(run.link, execution.program.profile.isolation)
        self._start_next()

    def _end(self, execution: Execution, status: str, failure: Failure | None) -> None:
        execution.failure = failure
        if status == Status.SUCCEEDED:
            cut_result(execution, self.results)
        execution.ended_ns = time.time_ns()
        execution.status, execution.state = status, "ended"
        execution.hold.release()
        self.registry.note_ended(execution)
        execution.ended.set()
        execution.changed.set()

    async def close(self) -> None:
        """Cancel everything that runs and wait until it has ended."""
        running = self.registry.running()
        for execution in running:
            self.cancel(execution, "the service is shutting down")
        for execution in running:
            await execution.ended.wait()
