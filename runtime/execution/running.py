"""One execution in one worker: the listener of its frames, the keeper of its deadline."""

import asyncio
import secrets
import time
from collections.abc import Callable
from functools import lru_cache

from runtime.execution.execution import Execution, Failure
from runtime.execution.failure import limit_failure, lost_failure, program_failure
from runtime.execution.host_calls import HostCalls
from runtime.isolate import Ending, GuestLimits, LogLine, Outcome, Status, Trace, Usage
from runtime.worker.frames import Call, Run
from runtime.worker.link import Link
from sandboxes.identity import Same
from sandboxes.limits import Limits

REPLY_GRACE_S = 0.006
KILL_GRACE_S = 0.25
"""How long after the deadline the gateway answers by itself, and how much later a silent worker is killed."""

AGAIN = "again"
"""Finished only here: its worker died before anything was seen of it, so it may run once more."""

_MOST_ATTEMPTS = 2

type Finished = Callable[[Execution, str, Failure | None], None]


class RunningExecution:
    """One execution in one worker: the Listener of its frames and the keeper of its deadline."""

    def __init__(
        self,
        finished: Finished,
        execution: Execution,
        link: Link,
        number: int,
        host_calls: Callable[[Execution], HostCalls],
    ) -> None:
        self._finished = finished
        self._execution = execution
        self.link = link
        self._number = number
        self._make_calls = host_calls
        self._calls: HostCalls | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        self._cancelled = ""
        self._over = False
        self._log_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, image: int) -> None:
        """Hand the program to the worker and start the clock."""
        program = self._execution.program
        limits = program.limits
        run = Run(
            image=image,
            types=program.types,
            seed=secrets.token_bytes(32),
            start_ns=self._execution.created_ns,
            limits=guest_limits(Same(limits)),
            clock_ms=program.profile.clock_ms,
            program=program.code,
            inputs=program.inputs,
        )
        left = min(limits.wall_ms / 1e3, program.caller.expires_at - time.time())
        self._timer = self._loop.call_later(max(0.0, left) + REPLY_GRACE_S, self._deadline)
        self.link.run(self._number, run, self)

    def cancel(self, reason: str) -> None:
        """Ask the worker to end it; if it does not, it is killed."""
        if not self._cancelled:
            self._cancelled = reason
            self.link.cancel(self._number)
            self._loop.call_later(KILL_GRACE_S, self._kill)

    def _deadline(self) -> None:
        """The worker has not reported in time: answer for it, and end it if it stays silent."""
        program = self._execution.program
        if program.caller.expires_at <= time.time():
            ending = Ending(Status.CANCELLED)
        else:
            ending = Ending(Status.LIMIT_WALL, "wall_ms", program.limits.wall_ms)
        self._execution.usage = self._known_usage()
        expired = "the request's expires_at has passed"
        self._finish(ending.status, limit_failure(self._execution, ending, cancelled=expired))
        self.link.cancel(self._number)
        self._loop.call_later(KILL_GRACE_S, self._kill)

    def _known_usage(self) -> Usage:
        """What the gateway itself knows when the worker has not reported."""
        wall_ns = int((time.monotonic() - self._execution.started) * 1e9)
        return Usage(
            cpu_ns=0,
            active_ns=0,
            wall_ns=wall_ns,
            startup_ns=0,
            memory_bytes=0,
            memory_exact=False,
            host_calls=len(self._execution.calls),
            log_lines=len(self._execution.logs),
        )

    def _kill(self) -> None:
        if self.link.holds(self._number):
            self.link.kill(f"execution {self._execution.id} did not end when told to")

    # Listener

    def on_log(self, lines: list[LogLine]) -> None:  # noqa: D102 - told by Listener, as the next three
        if self._over:
            return
        limits = self._execution.program.limits
        logs = self._execution.logs
        for line in lines[: max(0, limits.log_lines - len(logs))]:
            kept = line._replace(text=line.text[: limits.log_line_bytes])
            self._log_bytes += len(kept.text.encode())
            if self._log_bytes > limits.log_bytes:
                return  # an honest worker has ended the program by now
            self._execution.hold.add(len(kept.text))
            logs.append(kept)
            self._execution.happened(kept)

    def on_call(self, call: Call) -> None:  # noqa: D102
        if self._over:
            return
        if len(self._tasks) > self._execution.program.limits.host_calls:
            self.link.kill("the worker passed on more host calls than the program may make")
            return
        task = self._loop.create_task(self._answer(call))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, call: Call) -> None:
        if self._calls is None:
            self._calls = self._make_calls(self._execution)
        ok, payload = await self._calls.perform(call)
        self._calls.window.sent(len(payload))
        self.link.result(self._number, call.call_id, ok=ok, payload=payload)

    def on_taken(self, size: int) -> None:  # noqa: D102
        if self._calls is not None:
            self._calls.window.taken(size)

    def on_trace(self, trace: Trace) -> None:
        """Not recorded yet."""

    def on_live(self) -> None:
        """Nothing is replayed yet."""

    def on_blocked(self) -> None:
        """Nothing is paused yet."""

    def on_done(self, outcome: Outcome) -> None:  # noqa: D102
        ending = outcome.ending
        self._execution.usage = outcome.usage
        most = self._execution.program.limits.result_bytes
        if ending.status is Status.SUCCEEDED and len(outcome.result.encode()) > most:
            ending = Ending(Status.LIMIT_RESULT, "result_bytes", most)
        if ending.status is Status.SUCCEEDED:
            self._execution.result = outcome.result
            self._finish(ending.status, None)
        elif ending.status is Status.PROGRAM_ERROR:
            self._finish(*program_failure(self._execution, outcome.error))
        else:
            self._finish(ending.status, limit_failure(self._execution, ending, outcome.error, self._cancelled))

    def on_lost(self, reason: str) -> None:  # noqa: D102
        execution = self._execution
        unseen = not (execution.logs or execution.calls) and execution.attempts < _MOST_ATTEMPTS
        if unseen and not self._cancelled and not self._over:
            self._finish(AGAIN, None)
        else:
            self._finish("lost", lost_failure(execution, reason))

    def _finish(self, status: str, failure: Failure | None) -> None:
        if self._over:
            return
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        for task in list(self._tasks):
            task.cancel()
        self._finished(self._execution, status, failure)


@lru_cache(maxsize=256)
def guest_limits(limits: Same[Limits]) -> GuestLimits:
    """The part of the limits that the isolate enforces."""
    return GuestLimits(**{name: getattr(limits.of, name) for name in GuestLimits.__dataclass_fields__})
