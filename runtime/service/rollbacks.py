"""Undoing what executions did that then failed: offered in their replies, done when asked for, told step by step."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from runtime.execution.bounds import QueueFullError
from runtime.execution.caller import Caller
from runtime.execution.execution import Execution, Program
from runtime.execution.executor import Executor
from runtime.governance.rollback import (
    InverseOf,
    Outcome,
    Step,
    outcomes_of,
    program_inputs,
    program_text,
    steps_of,
    tools_in,
    undoable,
)
from runtime.rpc import runtime_pb2 as pb
from runtime.store.errors import StoreError
from runtime.store.store import Store

log = logging.getLogger(__name__)

KEY: Final = "lockgate rollback of "
LIFETIME_S: Final = 86_400.0
_TRIES: Final = 30
_LOOKED_AT: Final = 100
_AGAIN_S: Final = 1.0


class Rollbacks:
    """One rollback for each execution, whoever asks how often: an execution of its own, known by its key."""

    def __init__(self, executor: Executor, store: Store, inverse_of: InverseOf) -> None:
        self._executor = executor
        self._store = store
        self._inverse_of = inverse_of
        self._tasks: dict[str, asyncio.Task[None]] = {}
        executor.on_ended = self.ended

    def ended(self, execution: Execution) -> None:
        """An execution is over; if it failed and was to be undone then, that begins."""
        if execution.program.on_failure == "rollback" and has_writes(execution):
            task = asyncio.get_running_loop().create_task(self._undo(execution))
            self._tasks[execution.id] = task
            task.add_done_callback(lambda _: self._tasks.pop(execution.id, None))

    async def recover(self) -> None:
        """Begin what the last gateway did not come to: of the newest ended executions those that were to be undone."""
        for head in await self._store.executions(state="ended", limit=_LOOKED_AT):
            if head.status == "succeeded":
                continue
            execution = await self._executor.archive.find(head.id)
            if execution is not None and execution.id not in self._tasks:
                self.ended(execution)

    async def over(self, execution: Execution) -> None:
        """Wait until what began with the execution's end is over, or waits for a human."""
        if (task := self._tasks.get(execution.id)) is not None:
            await asyncio.shield(task)

    async def begin(self, execution: Execution, caller: Caller) -> Execution | None:
        """Undo an execution that has ended; None if there is nothing to undo. Raises StoreError, QueueFullError."""
        key = KEY + execution.id
        principal = execution.program.caller.principal
        if (begun := await self._executor.archive.by_key(principal, key)) is not None:
            return begun
        steps = await self.steps(execution)
        if not undoable(steps):
            return None
        return await self._executor.accept(_program(execution.program, steps, caller, key))

    async def steps(self, execution: Execution) -> tuple[Step, ...]:
        """Its completed writes, the last first. Raises StoreUnavailableError."""
        if not has_writes(execution):
            return ()
        return steps_of(await self._store.calls(execution.id), self._inverse_of, execution.program.session)

    async def messages(self, execution: Execution) -> list[pb.RollbackStep]:
        """How each completed write was undone, or could be. Raises StoreUnavailableError."""
        if execution.state != "ended" or not (steps := await self.steps(execution)):
            return []
        key = KEY + execution.id
        begun = await self._executor.archive.by_key(execution.program.caller.principal, key)
        return _messages(steps, begun)

    async def _undo(self, execution: Execution) -> None:
        asked = execution.program.caller
        reason = f"rollback of {execution.id}, which {execution.status}: {asked.reason}"
        caller = replace(asked, reason=reason[:2_000], expires_at=time.time() + LIFETIME_S)
        for _ in range(_TRIES):
            try:
                begun = await self.begin(execution, caller)
                break
            except (StoreError, QueueFullError) as error:
                log.warning("%s is not undone yet: %s", execution.id, error)
                await asyncio.sleep(_AGAIN_S)
        else:
            log.error("%s is not undone: ask for it with Rollback", execution.id)
            return
        if begun is not None:
            await begun.halted.wait()


def has_writes(execution: Execution) -> bool:
    """Whether it did not succeed and had completed writes."""
    return execution.status != "succeeded" and any(
        call.outcome == "ok" and not call.read_only and not call.planned for call in execution.calls
    )


def _program(failed: Program, steps: Sequence[Step], caller: Caller, key: str) -> Program:
    python = failed.language == "python"
    return replace(
        failed,
        code=program_text(failed.language),
        language="python" if python else "javascript",
        inputs=program_inputs(steps),
        caller=caller,
        idempotency_key=key,
        intake="",
        detected=False,
        # It may call its client's functions, but leaves nothing among the globals of a session.
        session_id="",
        kept_session="",
        inline_bytes=0,
        read_only=False,
        on_failure="keep",
    )


def _messages(steps: Sequence[Step], begun: Execution | None) -> list[pb.RollbackStep]:
    if begun is None:
        return [_message(step, None, None) for step in steps]
    outcomes = {each.number: each for each in outcomes_of(begun.result)}
    # What undid a call is known from the rollback, also when the client that declared it is gone.
    tools = tools_in(begun.program.inputs)
    known = [replace(step, tool=tools.get(step.number, step.tool)) for step in steps]
    return [_message(step, begun, outcomes.get(step.number)) for step in known]


def _message(step: Step, begun: Execution | None, outcome: Outcome | None) -> pb.RollbackStep:
    message = pb.RollbackStep(call_number=step.number, target=step.target, tool=step.tool)
    if begun is not None:
        message.execution_id = begun.id
    if not step.tool:
        message.outcome, message.reason = step.outcome, step.why
    elif outcome is not None:
        message.outcome, message.reason = outcome.outcome, outcome.reason
    elif begun is None:
        message.outcome = "offered"
    elif begun.state == "ended":
        failure = begun.failure.message if begun.failure is not None else ""
        message.outcome, message.reason = "unknown", f"the rollback ended as {begun.status}: {failure}"
    else:
        message.outcome = begun.status
    return message
