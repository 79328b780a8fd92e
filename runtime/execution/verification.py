"""A finished execution run once more from its record, touching nothing outside, and what differed."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from runtime.execution.call_record import JournalledCall
from runtime.execution.execution import Execution
from runtime.execution.failure import error_texts
from runtime.execution.replay import answers_that_follow, replayed_calls
from runtime.execution.running import guest_limits
from runtime.execution.window import Window
from runtime.isolate import LogLine, Outcome, Replay, ReplayMode, Status, Trace
from runtime.worker.frames import Call, Run
from runtime.worker.link import Link
from sandboxes.identity import Same

MOST_S: Final = 60.0
"""A replay that takes longer is given up."""
_MOST_TEXT = 2_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """Where the replay did otherwise. `what` is call, log, result, error or status; `at` a call's or line's number."""

    what: str
    at: int = 0
    expected: str = ""
    found: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """How a replay went: `calls` were made as recorded; `status` as it ended; `stopped` before its end, as was wished.

    Nothing differed just if `differences` is empty. `kept`: how many programs its session's isolate has run now.
    """

    calls: int
    status: str
    stopped: bool
    differences: tuple[Difference, ...]
    logs: tuple[LogLine, ...]
    kept: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """What the store has of an execution."""

    execution: Execution
    calls: Sequence[JournalledCall]
    trace: bytes


class Verification:
    """One replay in one worker: the Listener of its frames. On the event loop."""

    def __init__(
        self, recorded: Recorded, *, until: int = 0, code: str | None = None, seat: tuple[int, int] = (0, 0)
    ) -> None:
        """`seat`: the session in whose isolate it runs, and its position there."""
        self._recorded = recorded
        self._seat = seat
        self._until = until
        self._code = code
        self._logs: list[LogLine] = []
        self._window = Window()
        self._done: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    async def run(self, link: Link, number: int, image: int) -> Verified:
        """Raises TimeoutError, and RuntimeError when the worker dies."""
        execution = self._recorded.execution
        program = execution.program
        replay = Replay(
            mode=ReplayMode.VERIFY,
            calls=replayed_calls(self._recorded.calls),
            trace=self._recorded.trace,
            until=self._until,
        )
        run = Run(
            image=image,
            types=program.types,
            seed=execution.seed,
            start_ns=execution.created_ns,
            limits=guest_limits(Same(program.limits)),
            clock_ms=program.profile.clock_ms,
            program=program.code if self._code is None else self._code,
            inputs=program.inputs,
            session=self._seat[0],
            position=self._seat[1],
            replay=replay,
        )
        link.run(number, run, self)
        sending = asyncio.ensure_future(self._send_rest(link, number, replay))
        try:
            async with asyncio.timeout(MOST_S):
                outcome = await self._done
        finally:
            sending.cancel()
            link.cancel(number)
        return self._judged(outcome)

    async def _send_rest(self, link: Link, number: int, replay: Replay) -> None:
        for entry in answers_that_follow(replay, self._recorded.calls):
            await self._window.wait_open()
            self._window.sent(len(entry.answer))
            link.result(number, entry.call.call_id, ok=entry.ok, payload=entry.answer)

    def _judged(self, outcome: Outcome) -> Verified:
        execution = self._recorded.execution
        status = outcome.ending.status
        if status is Status.DIVERGED:
            found = self._with_arguments(_diverged(outcome.error))
            return self._verified(outcome, found, stopped=True, calls=max(0, found.at - 1))
        stopped = status is Status.STOPPED
        differences = list(self._log_differences(whole=not stopped))
        if not stopped and status != execution.status:
            differences.append(Difference(what="status", expected=execution.status, found=status))
        elif status is Status.SUCCEEDED and execution.cut is None and outcome.result != execution.result:
            differences.append(
                Difference(what="result", expected=execution.result[:_MOST_TEXT], found=outcome.result[:_MOST_TEXT])
            )
        elif status is Status.PROGRAM_ERROR and execution.failure is not None:
            expected = f"{execution.failure.name}: {execution.failure.message}"
            if (said := ": ".join(error_texts(outcome.error))) != expected:
                differences.append(Difference(what="error", expected=expected[:_MOST_TEXT], found=said[:_MOST_TEXT]))
        return self._verified(outcome, *differences, stopped=stopped, calls=outcome.usage.host_calls)

    def _with_arguments(self, found: Difference) -> Difference:
        """The worker knows the recorded arguments by their digest only."""
        if not 0 < found.at <= len(self._recorded.calls):
            return found
        call = self._recorded.calls[found.at - 1].call
        return replace(found, expected=f"{call.name or 'fetch'} {call.payload}"[:_MOST_TEXT])

    def _log_differences(self, *, whole: bool) -> list[Difference]:
        recorded = self._recorded.execution.logs
        for index, line in enumerate(self._logs):
            expected = recorded[index] if index < len(recorded) else None
            if expected is None or (expected.level, expected.text) != (line.level, line.text):
                text = "" if expected is None else expected.text[:_MOST_TEXT]
                return [Difference(what="log", at=line.number, expected=text, found=line.text[:_MOST_TEXT])]
        if whole and len(self._logs) < len(recorded):
            missing = recorded[len(self._logs)]
            return [Difference(what="log", at=missing.number, expected=missing.text[:_MOST_TEXT])]
        return []

    def _verified(self, outcome: Outcome, *differences: Difference, stopped: bool, calls: int) -> Verified:
        return Verified(
            calls=min(calls, len(self._recorded.calls)),
            status=outcome.ending.status,
            stopped=stopped,
            differences=differences,
            logs=tuple(self._logs),
            kept=outcome.kept,
        )

    # Listener

    def on_log(self, lines: list[LogLine]) -> None:  # noqa: D102 - told by Listener, as all below
        room = self._recorded.execution.program.limits.log_lines - len(self._logs)
        self._logs += lines[: max(0, room)]

    def on_call(self, call: Call) -> None:  # noqa: D102
        self.on_lost(f"its worker passed on {call.name[:100]}, which a replay does not")

    def on_taken(self, size: int) -> None:  # noqa: D102
        self._window.taken(size)

    def on_trace(self, trace: Trace) -> None:  # noqa: D102
        pass

    def on_live(self) -> None:  # noqa: D102
        self.on_lost("its worker went on beyond the record")

    def on_blocked(self) -> None:  # noqa: D102
        pass

    def on_done(self, outcome: Outcome) -> None:  # noqa: D102
        if not self._done.done():
            self._done.set_result(outcome)

    def on_lost(self, reason: str) -> None:  # noqa: D102
        if not self._done.done():
            self._done.set_exception(RuntimeError(f"the replay ended early: {reason}"))


def _diverged(error: str) -> Difference:
    """A worker's word of where the program left its record, every field checked."""
    try:
        said: Any = json.loads(error)
        at, message = said["at"], str(said["message"])[:_MOST_TEXT]
        expected, found = (_call_text(said[side]) for side in ("expected", "found"))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Difference(what="call", found=error[:_MOST_TEXT])
    return Difference(what="call", at=at if type(at) is int else 0, expected=expected, found=found or message)


def _call_text(call: Any) -> str:
    if not isinstance(call, dict):
        return ""
    return f"{call.get('name') or 'fetch'} {call.get('payload') or ''}"[:_MOST_TEXT]
