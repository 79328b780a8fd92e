"""One execution in one worker: the listener of its frames, the keeper of its deadline."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import lru_cache

from runtime.execution.call_record import JournalledCall
from runtime.execution.execution import PAUSED, Execution, Failure
from runtime.execution.failure import limit_failure, lost_failure, program_failure
from runtime.execution.host_calls import HostCalls
from runtime.execution.lost_call import made_again, may_be_made, unknown_outcome
from runtime.execution.replay import answers_that_follow
from runtime.isolate import Ending, GuestLimits, LogLine, Outcome, Replay, Status, Trace, Usage
from runtime.worker.frames import Call, Run
from runtime.worker.link import Link
from sandboxes.identity import Same
from sandboxes.limits import Limits

REPLY_GRACE_S = 0.006
KILL_GRACE_S = 0.25
"""How long after the deadline the gateway answers by itself, and how much later a silent worker is killed."""

AGAIN = "again"
"""Finished only here: its worker died, and it goes on in another from what is recorded of it."""

_MOST_LOSSES = 6
"""Workers that may die under an execution without its getting any further in between."""
_FREEZE_S = 2.0
_REPLAY_S = 20.0
"""What going through the record again may take."""

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
        self._journal = execution.journal
        self._waits = self._blocked = self._lost = False
        self._used_ns = 0
        self._log_bytes = sum(len(line.text.encode()) for line in execution.logs)
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, image: int, replay: Replay | None = None, seat: tuple[int, int] = (0, 0)) -> None:
        """Hand the program to the worker and start the clock, which stands still during a replay.

        `seat`: the session in whose isolate it runs, and its position there.
        """
        program = self._execution.program
        run = Run(
            image=image,
            types=program.types,
            seed=self._execution.seed,
            start_ns=self._execution.created_ns,
            limits=guest_limits(Same(program.limits)),
            clock_ms=program.profile.clock_ms,
            program=program.code,
            inputs=program.inputs,
            replay=replay,
            session=seat[0],
            position=seat[1],
        )
        self._used_ns = 0 if replay is None else replay.wall_ns
        if replay is not None and program.profile.approvals.wall_clock == "runs":
            self._used_ns = max(self._used_ns, time.time_ns() - self._execution.created_ns)
        self._set_timer(_REPLAY_S if replay is not None else 0)
        self.link.run(self._number, run, self)
        if replay is not None and self._journal is not None:
            rest = answers_that_follow(replay, list(self._journal.calls.values()))
            if rest:
                self._begin_call(self._send_rest(rest))

    async def _send_rest(self, rest: Sequence[JournalledCall]) -> None:
        """Answers that are recorded and did not fit with the record."""
        window = self._made_calls().window
        for entry in rest:
            await window.wait_open()
            self._tell(entry.call.call_id, (entry.ok, entry.answer))

    def _set_timer(self, more: float = 0) -> None:
        program = self._execution.program
        left = (program.limits.wall_ms / 1e3) - self._used_ns / 1e9 + more
        left = min(left, program.caller.expires_at - time.time())
        if self._timer is not None:
            self._timer.cancel()
        left = max(0.0, left)
        self._execution.ends = time.monotonic() + left
        self._timer = self._loop.call_later(left + REPLY_GRACE_S, self._deadline)

    def decided(self, number: int) -> None:
        """A call that waits for a decision is asked about again."""
        entry = self._journal.calls.get(number) if self._journal is not None else None
        if entry is not None and entry.state == "suspended" and not self._over:
            self._begin_call(self._again(entry))

    async def freeze(self) -> None:
        """Let the calls under way end, for a while, and nothing begin: another gateway goes on from there."""
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=_FREEZE_S)

    def cancel(self, reason: str) -> None:
        """Ask the worker to end it; if it does not, it is killed."""
        if not self._cancelled:
            self._cancelled = reason
            if self._lost:
                ending = Ending(Status.CANCELLED)
                self._finish(ending.status, limit_failure(self._execution, ending, cancelled=reason))
                return
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
            if logs and line.number <= logs[-1].number:
                continue
            kept = line._replace(text=line.text[: limits.log_line_bytes])
            self._log_bytes += len(kept.text.encode())
            if self._log_bytes > limits.log_bytes:
                return  # an honest worker has ended the program by now
            self._execution.hold.add(len(kept.text))
            logs.append(kept)
            self._execution.happened(kept)
        if self._journal is not None:
            self._journal.wrote()

    def on_call(self, call: Call) -> None:  # noqa: D102
        if self._over:
            return
        if len(self._tasks) > self._execution.program.limits.host_calls:
            self.link.kill("the worker passed on more host calls than the program may make")
            return
        self._execution.losses = 0
        self._begin_call(self._answer(call))

    def _begin_call(self, call: Coroutine[None, None, None]) -> None:
        task = self._loop.create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._call_over)

    def _call_over(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._go_on_elsewhere()
        self._pause_if_still()

    async def _answer(self, call: Call) -> None:
        self._tell(call.call_id, await self._made_calls().perform(call))

    def _made_calls(self) -> HostCalls:
        if self._calls is None:
            self._calls = self._make_calls(self._execution)
        return self._calls

    async def _again(self, entry: JournalledCall) -> None:
        self._tell(entry.call.call_id, await self._made_calls().make(entry))

    async def _refuse(self, entry: JournalledCall, payload: str) -> None:
        self._tell(entry.call.call_id, await self._made_calls().answer(entry, ok=False, payload=payload))

    def _tell(self, call_id: int, answer: tuple[bool, str] | None) -> None:
        """The program's answer; if somebody has to decide first, the worker says when nothing else moves."""
        if self._over:
            return
        if answer is None:
            self._waits = True
            self.link.pause(self._number)
            return
        ok, payload = answer
        self._blocked = False
        self._made_calls().window.sent(len(payload))
        self.link.result(self._number, call_id, ok=ok, payload=payload)

    def on_trace(self, trace: Trace) -> None:  # noqa: D102
        if self._over or self._journal is None:
            return
        self._journal.heard(trace)

    def on_live(self) -> None:
        """The replay is over: what was under way when the record ends is made, or answered, now."""
        if self._over:
            return
        self._set_timer()
        if self._journal is None or all(entry.answered for entry in self._journal.calls.values()):
            return
        calls = self._made_calls()
        for entry in list(self._journal.calls.values()):
            if entry.answered:
                continue
            if may_be_made(entry, repeatable=calls.repeatable(entry)):
                self._begin_call(self._again(made_again(entry)))
            else:
                self._execution.outcome_unknown = True
                self._begin_call(self._refuse(entry, unknown_outcome(entry, calls.key(entry))))

    def on_blocked(self) -> None:
        """The program waits, and there is no answer it could take."""
        self._blocked = True
        self._pause_if_still()

    def _pause_if_still(self) -> None:
        """Let the isolate go when all that its program waits for are decisions."""
        if self._blocked and self._waits and not self._tasks and not self._over:
            self._finish(PAUSED, None)
            self.link.cancel(self._number)
            self._loop.call_later(KILL_GRACE_S, self._kill)

    def on_taken(self, size: int) -> None:  # noqa: D102
        if self._calls is not None:
            self._calls.window.taken(size)

    def on_done(self, outcome: Outcome) -> None:  # noqa: D102
        ending = outcome.ending
        if ending.status is Status.SESSION_LOST:
            self.on_lost("no worker has the isolate of its session")
            return
        self._execution.usage, self._execution.kept = outcome.usage, outcome.kept
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
        execution.losses += 1
        replayable = self._journal is not None and self._journal.complete and execution.losses < _MOST_LOSSES
        if self._cancelled or self._over or not replayable:
            self._finish("lost", lost_failure(execution, reason))
        else:
            self._lost = True
            self._go_on_elsewhere()

    def _go_on_elsewhere(self) -> None:
        """Once the calls under way have been answered: what was sent is not sent again."""
        if self._lost and not self._tasks:
            self._finish(AGAIN, None)

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
