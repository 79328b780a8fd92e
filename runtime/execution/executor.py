"""Runs executions: admits, queues, hands to workers, times, ends and remembers them."""

import asyncio
import logging
import time
from collections import deque
from dataclasses import dataclass

from runtime.execution.execution import Execution, Failure, Program
from runtime.execution.host_calls import Fetcher, HostCalls, Tools
from runtime.execution.hostcall import CallContext
from runtime.execution.registry import Registry
from runtime.execution.running import RunningExecution
from runtime.execution.tokens import TokenMint
from runtime.isolate import Status
from runtime.worker.link import Link
from runtime.worker.pool import NoWorkerError, WorkerPool

log = logging.getLogger(__name__)

class QueueFullError(RuntimeError):
    """No more executions are taken for now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How many executions may be under way, and how many may wait."""

    running: int = 256
    queued: int = 1_000


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
    ) -> None:
        self.registry = registry or Registry()
        self._pool = pool
        self._tools = tools
        self._fetcher = fetcher
        self._mint = mint
        self._bounds = bounds or Bounds()
        self._digests = {image.name: f"sha256:{image.digest}" for image in pool.images}
        self._runs: dict[str, RunningExecution] = {}
        self._queue: deque[Execution] = deque()
        self._numbers = 0

    def submit(self, program: Program) -> Execution:
        """Start, or queue, an execution. Raises QueueFullError."""
        if len(self._queue) >= self._bounds.queued:
            raise QueueFullError(
                f"{len(self._runs)} executions run and {len(self._queue)} wait; no more than {self._bounds.queued} may"
            )
        execution = Execution(program=program, image_digest=self._digests[program.language])
        self.registry.add(execution)
        self._queue.append(execution)
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
        while self._queue and len(self._runs) < self._bounds.running:
            try:
                link = self._pool.choose()
            except NoWorkerError:
                asyncio.get_running_loop().call_later(0.02, self._start_next)
                return
            self._start(self._queue.popleft(), link)

    def _start(self, execution: Execution, link: Link) -> None:
        self._numbers += 1
        execution.started = time.monotonic()
        execution.state = execution.status = "running"
        execution.happened("started")
        program = execution.program
        seconds = program.limits.wall_ms / 1e3
        context = CallContext(
            execution_id=execution.id,
            actor=program.caller.actor,
            environment=program.caller.environment,
            token=self._mint.for_execution(execution.id, program.caller, seconds),
            deadline=execution.started + seconds,
            max_response_bytes=program.limits.response_bytes,
            tools=program.profile.tools,
        )
        calls = HostCalls(execution, context, self._tools, self._fetcher)
        run = RunningExecution(self._finished, execution, link, self._numbers, calls)
        self._runs[execution.id] = run
        run.begin(self._pool.image_index(program.language))

    def _finished(self, execution: Execution, status: str, failure: Failure | None) -> None:
        del self._runs[execution.id]
        self._end(execution, status, failure)
        self._start_next()

    def _end(self, execution: Execution, status: str, failure: Failure | None) -> None:
        execution.failure = failure
        execution.ended_ns = time.time_ns()
        execution.status, execution.state = status, "ended"
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
