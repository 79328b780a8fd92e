"""Runs executions: admits, queues, hands to workers, times, ends and remembers them."""

import asyncio
import json
import logging
import secrets
import time
from collections import deque
from dataclasses import dataclass
from typing import Any

from runtime.execution.execution import Execution, Failure, Program
from runtime.execution.host_calls import Fetcher, HostCalls, Tools
from runtime.execution.hostcall import CallContext
from runtime.execution.registry import Registry
from runtime.execution.tokens import TokenMint
from runtime.isolate import GuestLimits, LogLine, Outcome, Status
from runtime.worker.frames import Call, Run
from runtime.worker.link import Link
from runtime.worker.pool import NoWorkerError, WorkerPool

log = logging.getLogger(__name__)

REPLY_GRACE_S = 0.05
KILL_GRACE_S = 0.25
_ENDINGS: dict[Status, str] = {
    Status.LIMIT_CPU: "it used all the processor time it may",
    Status.LIMIT_ACTIVE: "it ran, or waited to run, for as long as it may",
    Status.LIMIT_WALL: "the time from its start is over",
    Status.LIMIT_MEMORY: "it used all the memory it may",
    Status.LIMIT_STACK: "it recursed too deeply",
    Status.LIMIT_OUTPUT: "it logged more than it may",
    Status.LIMIT_RESULT: "its result is larger than it may be; return less, or only the part that is needed",
    Status.CANCELLED: "it was cancelled",
    Status.TRAPPED: "the isolate stopped for a reason the host does not know; the program may be sent again",
}


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
        self._runs: dict[str, _Run] = {}
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
        run = _Run(self, execution, link, self._numbers, calls)
        self._runs[execution.id] = run
        run.begin(self._pool.image_index(program.language))

    def finished(self, execution: Execution, status: str, failure: Failure | None) -> None:
        """Called by a run, once."""
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


class _Run:
    """One execution in one worker: the Listener of its frames and the keeper of its deadline."""

    def __init__(self, executor: Executor, execution: Execution, link: Link, number: int, calls: HostCalls) -> None:
        self._executor = executor
        self._execution = execution
        self._link = link
        self._number = number
        self._calls = calls
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._cancelled = ""
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, image: int) -> None:
        program = self._execution.program
        limits = program.limits
        run = Run(
            image=image,
            seed=secrets.token_bytes(32),
            start_ns=self._execution.created_ns,
            limits=guest_limits(limits),
            program=program.code,
            inputs=program.inputs,
        )
        left = min(limits.wall_ms / 1e3, program.caller.expires_at - time.time())
        self._timer = self._loop.call_later(max(0.0, left) + REPLY_GRACE_S, self._deadline)
        self._link.run(self._number, run, self)

    def cancel(self, reason: str) -> None:
        """Ask the worker to end it; if it does not, it is killed."""
        if not self._cancelled:
            self._cancelled = reason
            self._link.cancel(self._number)
            self._loop.call_later(KILL_GRACE_S, self._kill)

    def _deadline(self) -> None:
        """The worker has not reported in time: answer for it, and end it if it stays silent."""
        limits = self._execution.program.limits
        if self._execution.program.caller.expires_at <= time.time():
            self._finish(Status.CANCELLED, Failure(name="Expired", message="the request's expires_at has passed"))
        else:
            self._finish(Status.LIMIT_WALL, self._limit_failure(Status.LIMIT_WALL, "wall_ms", limits.wall_ms))
        self._link.cancel(self._number)
        self._loop.call_later(KILL_GRACE_S, self._kill)

    def _kill(self) -> None:
        if self._link.holds(self._number):
            self._link.kill(f"execution {self._execution.id} did not end when told to")

    # Listener

    def on_log(self, lines: list[LogLine]) -> None:
        if self._over:
            return
        limits = self._execution.program.limits
        logs = self._execution.logs
        for line in lines[: max(0, limits.log_lines - len(logs))]:
            logs.append(line)
            self._execution.happened(line)

    def on_call(self, call: Call) -> None:
        if self._over:
            return
        if len(self._tasks) > self._execution.program.limits.host_calls:
            self._link.kill("the worker passed on more host calls than the program may make")
            return
        task = self._loop.create_task(self._answer(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: Call) -> None:
        ok, payload = await self._calls.perform(call)
        self._link.result(self._number, call.call_id, ok=ok, payload=payload)

    def on_done(self, outcome: Outcome) -> None:
        ending = outcome.ending
        self._execution.usage = outcome.usage
        if ending.status is Status.SUCCEEDED:
            self._execution.result = outcome.result
            self._finish(ending.status, None)
        elif ending.status is Status.PROGRAM_ERROR:
            self._finish(*_program_error(outcome.error, side_effects=self._execution.side_effects_possible()))
        else:
            self._finish(ending.status, self._limit_failure(ending.status, ending.limit, ending.value, outcome.error))

    def on_lost(self, reason: str) -> None:
        done = ", ".join(f"{call.target} ({call.outcome})" for call in self._execution.calls[-5:])
        what = f"its last host calls: {done}" if done else "it had made no host call and may simply be sent again"
        failure = Failure(
            name="Lost",
            message=f"the worker was lost: {reason}; {what}",
            side_effects_possible=self._execution.side_effects_possible(),
        )
        self._finish("lost", failure)

    def _limit_failure(self, status: Status, limit: str, value: int, error: str = "") -> Failure:
        known = _parsed(error)
        text = self._cancelled if status is Status.CANCELLED and self._cancelled else _ENDINGS[status]
        source = self._execution.program.limit_sources.get(limit)
        set_by = f" (limit {limit} = {value}, set by the {source})" if source else ""
        return Failure(
            name="Cancelled" if status is Status.CANCELLED else _limit_name(status),
            message=f"{text}{set_by}",
            line=known.line,
            column=known.column,
            source_line=known.source_line,
            stack=known.stack,
            limit=limit,
            limit_value=value,
            side_effects_possible=self._execution.side_effects_possible(),
        )

    def _finish(self, status: str, failure: Failure | None) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        self._executor.finished(self._execution, status, failure)


def guest_limits(limits: Any) -> GuestLimits:
    """The part of the limits that the isolate enforces."""
    return GuestLimits(**{name: getattr(limits, name) for name in GuestLimits.__dataclass_fields__})


def _limit_name(status: Status) -> str:
    return "".join(part.capitalize() for part in status.value.split("_"))


def _program_error(text: str, *, side_effects: bool) -> tuple[str, Failure]:
    failure = _parsed(text)
    call = _json_object(_json_object_of(text).get("call"))
    details = _json_object(call.get("details"))
    limit = details.get("limit") if call.get("code") == "limit" else None
    values = {name: getattr(failure, name) for name in Failure.__dataclass_fields__}
    values["side_effects_possible"] = side_effects
    if limit == "host_calls":
        values |= {"limit": limit, "limit_value": int(details.get("value") or 0)}
        return "limit_host_calls", Failure(**values)
    return Status.PROGRAM_ERROR, Failure(**values)


def _json_object_of(text: str) -> dict[str, Any]:
    try:
        return _json_object(json.loads(text))
    except (ValueError, RecursionError):
        return {}


def _json_object(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


_MOST_TEXT = 16_384


def _parsed(text: str) -> Failure:
    """A guest's error object, with every field checked: it is the program's word."""
    error = _json_object_of(text)

    def string(name: str) -> str:
        value = error.get(name)
        return value[:_MOST_TEXT].encode(errors="replace").decode() if isinstance(value, str) else ""

    def number(name: str) -> int:
        value = error.get(name)
        return value if type(value) is int and 0 <= value < 2**31 else 0

    return Failure(
        name=string("name") or "Error",
        message=string("message"),
        line=number("line"),
        column=number("column"),
        source_line=string("source_line"),
        stack=string("stack"),
    )
