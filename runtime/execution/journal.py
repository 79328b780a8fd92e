"""What the store keeps of one execution while it runs: its host calls, and all that its program heard.

An execution is in the store from its first host call on, or at once where its client gave an idempotency key. What
happens is noted here and written together, so that the store always has the execution as it was at one moment.
"""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

from runtime.execution.call_record import JournalledCall
from runtime.execution.execution import PAUSED, Execution
from runtime.execution.file import File
from runtime.execution.outcome_record import outcome_json, waking_json
from runtime.execution.program_record import program_json
from runtime.isolate import Trace
from runtime.isolate.trace import MOST_TRACE
from runtime.store.changes import (
    Change,
    Fence,
    ForgetCalls,
    PutExecution,
    PutFile,
    PutLogs,
    PutProfile,
    PutTrace,
    UpdateExecution,
)
from runtime.store.errors import StoreError, StoreUnavailableError
from runtime.store.records import (
    CallState,
    ExecutionRow,
    ExecutionState,
    FileRow,
    LogRow,
    ProfileRow,
    TraceRow,
)
from runtime.store.store import Store

log = logging.getLogger(__name__)

LAG_S = 0.02
"""What need not be durable at once is written so much later, at the latest."""
MOST_LAG_BYTES = 4 << 20
"""Of calls and answers not yet written; beyond it even a read waits for the store."""
_AGAIN_S = 0.25


class Journal:
    """The record of one execution. On the event loop.

    Nothing is lost while the store is unavailable: what is not written stays here and goes with the next write.
    """

    def __init__(self, store: Store, execution: Execution) -> None:
        self._store = store
        self._execution = execution
        self.calls: dict[int, JournalledCall] = {}
        self.trace = bytearray()
        self.complete = True
        """Whether all that the program heard is recorded; what has heard too much cannot be replayed."""
        self.clocks = (0, 0, 0)
        """Processor, active and wall time used when the trace was last told of, nanoseconds."""
        self.due_ns = 0
        """When its program wakes by itself though it waits for a decision, Unix nanoseconds; 0 if it does not."""
        self.kept = False
        """Whether the execution is in the store, or on its way there."""
        self.closed = False
        self._dirty: dict[int, JournalledCall] = {}
        self._dirty_bytes = 0
        self._state_dirty = False
        self._stored = False
        self._unsure = False
        self._expect = 0
        self._trace_parts = self._trace_written = 0
        self._logs_written = self._files_written = 0
        self._turn = asyncio.Lock()
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def restored(self, calls: list[JournalledCall], trace: list[TraceRow], attempts: int) -> None:
        """Go on from what is in the store."""
        self.calls = {call.record.number: call for call in calls}
        self.trace = bytearray().join(part.data for part in trace)
        if trace:
            self.clocks = (trace[-1].cpu_ns, trace[-1].active_ns, trace[-1].wall_ns)
        self._trace_parts, self._trace_written = len(trace), len(self.trace)
        self._logs_written, self._files_written = len(self._execution.logs), len(self._execution.files)
        self._stored, self._expect = True, attempts
        self.kept = True

    # What happens.

    def called(self, entry: JournalledCall) -> None:
        """The program made a host call."""
        self.calls[entry.record.number] = entry
        self._touch(entry, len(entry.call.payload))

    async def intended(self, entry: JournalledCall, *changes: Change) -> None:
        """The call is about to leave. Of one that may change something this is durable first, and `changes` with it.

        Raises StoreUnavailableError, StoreQuotaError or StoreConflictError, and then nothing may be sent.
        """
        entry.state = "intent"
        self._touch(entry)
        if changes or not entry.record.read_only or self._dirty_bytes > MOST_LAG_BYTES:
            await self.write(*changes)

    async def answered(self, entry: JournalledCall, *, ok: bool, payload: str) -> None:
        """The call has its answer. The program may see it once this returns, which takes as long as it takes.

        Raises StoreQuotaError if there is no room for it.
        """
        entry.state, entry.ok, entry.answer = "done", ok, payload
        self._touch(entry, len(payload))
        if entry.record.may_have_changed or self._dirty_bytes > MOST_LAG_BYTES:
            await self.write_surely()

    def suspended(self, entry: JournalledCall) -> None:
        """The call waits for somebody's decision."""
        entry.state = "suspended"
        self._touch(entry)

    def heard(self, trace: Trace) -> None:
        """The program has taken answers, or let time pass."""
        self.complete = self.complete and trace.complete and len(self.trace) + len(trace.data) <= MOST_TRACE
        if self.complete:
            self.trace += trace.data
        self.clocks = (trace.cpu_ns, trace.active_ns, trace.wall_ns)
        self.due_ns = trace.due_ns
        self._later()

    def wrote(self) -> None:
        """The execution has log lines or files more."""
        self._later()

    def changed(self) -> None:
        """The execution is in another state."""
        self._state_dirty = True

    # Writing.

    def _touch(self, entry: JournalledCall, size: int = 0) -> None:
        self._dirty[entry.record.number] = entry
        self._dirty_bytes += size
        self.kept = True
        self._later()

    def _later(self) -> None:
        if self.kept and not self.closed and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LAG_S, self._begin_writing)

    def _begin_writing(self) -> None:
        self._timer = None
        task = asyncio.get_running_loop().create_task(self._write_when_possible())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write_when_possible(self) -> None:
        try:
            await self.write()
        except StoreUnavailableError as error:
            log.warning("%s: its record waits for the store: %s", self._execution.id, error)
            self._later()
        except StoreError as error:
            log.error("%s: its record is not kept: %s", self._execution.id, error)

    async def close(self) -> None:
        """Write what there is, if that can be, and nothing ever after."""
        with contextlib.suppress(StoreError):
            await self.write()
        self.closed = True

    async def write_surely(self) -> None:
        """As `write`, again and again until the store takes it."""
        while True:
            try:
                return await self.write()
            except StoreUnavailableError as error:
                log.warning("%s: its record waits for the store: %s", self._execution.id, error)
                await asyncio.sleep(_AGAIN_S)

    async def write(self, *more: Change) -> None:
        """Make all that happened so far durable, and `more` with it.

        Raises StoreUnavailableError, StoreQuotaError and StoreConflictError, and then nothing is forgotten. Whoever is
        cancelled here leaves a write that is made all the same, before any later one.
        """
        if self.closed:
            return
        self.kept = True
        writing = asyncio.get_running_loop().create_task(self._write(more))
        self._tasks.add(writing)
        writing.add_done_callback(self._is_made)
        await asyncio.shield(writing)

    def _is_made(self, writing: asyncio.Task[None]) -> None:
        self._tasks.discard(writing)
        if not writing.cancelled():
            writing.exception()  # told to who waits, if anybody still does; what is not written stays here

    async def _write(self, more: Sequence[Change]) -> None:
        async with self._turn:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._unsure:
                await self._look()
            seen = self._snapshot()
            changes = [*self._changes(seen), *more]
            if not changes:
                return
            self._state_dirty = False
            try:
                await self._store.write(*changes)
            except BaseException as error:
                self._state_dirty = self._state_dirty or seen.state
                self._unsure = not isinstance(error, StoreError) or getattr(error, "maybe", False)
                raise
            self._is_written(seen)

    def _snapshot(self) -> "_Snapshot":
        dirty = sorted(self._dirty.values(), key=lambda entry: entry.record.number)
        return _Snapshot(
            calls=[(entry, entry.state, entry.attempt) for entry in dirty],
            state=self._state_dirty,
            attempts=self._execution.attempts,
            trace=len(self.trace),
            logs=len(self._execution.logs),
            files=len(self._execution.files),
        )

    def _changes(self, seen: "_Snapshot") -> list[Change]:
        """What the store does not know yet, as it is now."""
        execution, changes = self._execution, list[Change]()
        for entry, *_ in seen.calls:
            changes += entry.changes(execution.id)
        if seen.trace > self._trace_written:
            data = bytes(self.trace[self._trace_written : seen.trace])
            cpu, active, wall = self.clocks
            row = TraceRow(
                execution_id=execution.id,
                part=self._trace_parts,
                data=data,
                cpu_ns=cpu,
                active_ns=active,
                wall_ns=wall,
                log_lines=seen.logs,
            )
            changes.append(PutTrace(row))
        if lines := execution.logs[self._logs_written : seen.logs]:
            changes.append(PutLogs(LogRow(execution_id=execution.id, first=lines[0].number, data=json.dumps(lines))))
        changes += [
            PutFile(_file_row(execution.id, file)) for file in execution.files[self._files_written : seen.files]
        ]
        if not self._stored:
            profile = execution.program.profile
            document = ProfileRow(digest=profile.digest(), document=profile.model_dump_json(by_alias=True))
            return [PutProfile(document), PutExecution(_execution_row(execution)), *changes, *_forgotten(execution)]
        if seen.state:
            return [_execution_update(execution, self._expect), *changes, *_forgotten(execution)]
        return [Fence(id=execution.id, expect=self._expect), *changes] if changes else []

    def _is_written(self, seen: "_Snapshot") -> None:
        if seen.state or not self._stored:
            self._expect = seen.attempts
        self._stored = True
        for entry, state, attempt in seen.calls:
            entry.is_stored(state, attempt)
            if entry.state == state and entry.attempt == attempt:
                self._dirty.pop(entry.record.number, None)
        self._dirty_bytes = sum(len(entry.call.payload) + len(entry.answer) for entry in self._dirty.values())
        self._trace_parts += seen.trace > self._trace_written
        self._trace_written, self._logs_written, self._files_written = seen.trace, seen.logs, seen.files

    async def _look(self) -> None:
        """What became of a write that nobody answered for."""
        await self._store.flush()  # it may still be on its way
        name = self._execution.id
        row = await self._store.execution(name)
        self._stored = row is not None
        if row is not None:
            self._expect = row.attempts
        for call in await self._store.calls(name):
            if call.number in self.calls:
                self.calls[call.number].is_stored(call.state, call.attempt)
        parts = await self._store.trace(name)
        self._trace_parts, self._trace_written = len(parts), sum(len(part.data) for part in parts)
        self._logs_written = sum(len(json.loads(row.data)) for row in await self._store.logs(name))
        self._files_written = len(await self._store.files(name))
        self._unsure = False


@dataclass(frozen=True, kw_only=True, slots=True)
class _Snapshot:
    """How much of an execution one write holds."""

    calls: list[tuple[JournalledCall, CallState, int]]
    state: bool
    attempts: int
    trace: int
    logs: int
    files: int


def _execution_row(execution: Execution) -> ExecutionRow:
    program = execution.program
    return ExecutionRow(
        id=execution.id,
        tenant=program.caller.tenant,
        principal=program.caller.principal,
        idempotency_key=program.idempotency_key,
        state=_state(execution),
        status=execution.status,
        created_ns=execution.created_ns,
        updated_ns=time.time_ns(),
        ended_ns=execution.ended_ns,
        expires_ns=int(program.caller.expires_at * 1e9),
        image_digest=execution.image_digest,
        profile_digest=program.profile.digest(),
        attempts=execution.attempts,
        session=program.kept_session or program.session_id,
        request=program_json(program),
        seed=execution.seed,
        start_ns=execution.created_ns,
        outcome=_outcome(execution) or "",
    )


def _execution_update(execution: Execution, expect: int) -> UpdateExecution:
    return UpdateExecution(
        id=execution.id,
        expect=expect,
        updated_ns=time.time_ns(),
        state=_state(execution),
        status=execution.status,
        ended_ns=execution.ended_ns,
        attempts=execution.attempts,
        outcome=_outcome(execution),
    )


def _forgotten(execution: Execution) -> list[Change]:
    """What its profile does not want to be kept beyond its end."""
    kept = execution.program.profile.retention
    if not execution.ended_ns or kept.arguments == kept.answers == "keep":
        return []
    payloads, answers = kept.arguments != "keep", kept.answers != "keep"
    return [ForgetCalls(execution_id=execution.id, payloads=payloads, answers=answers)]


def _outcome(execution: Execution) -> str | None:
    """None while it runs: then nobody reads it."""
    if execution.ended_ns:
        return outcome_json(execution)
    if execution.status == PAUSED and (journal := execution.journal) is not None:
        return waking_json(journal.due_ns)
    return None


def _state(execution: Execution) -> ExecutionState:
    if execution.ended_ns:
        return "ended"
    return "paused" if execution.status == PAUSED else "running"


def _file_row(execution_id: str, file: File) -> FileRow:
    return FileRow(
        execution_id=execution_id,
        number=file.number,
        name=file.name,
        type=file.type,
        sha256=file.sha256,
        data=file.data,
    )
