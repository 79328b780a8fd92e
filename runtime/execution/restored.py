"""An execution as it was, from what the store kept of it."""

import json

from pydantic import ValidationError

from runtime.execution.call_record import journalled_call, monotonic_of
from runtime.execution.execution import Execution
from runtime.execution.file import File
from runtime.execution.journal import Journal
from runtime.execution.outcome_record import put_outcome
from runtime.execution.program_record import program_from
from runtime.isolate import LogLine
from runtime.store.records import ExecutionRow
from runtime.store.store import Store
from sandboxes.profile import Profile


async def restored(store: Store, row: ExecutionRow) -> Execution:
    """The execution of a row, with its journal. Raises ValueError if it cannot be had from what is there.

    And StoreUnavailableError. One that has not ended is queued, or paused, and goes on by being replayed.
    """
    kept = await store.profile(row.profile_digest)
    if kept is None:
        raise ValueError(f"the profile {row.profile_digest} it began under is not kept")
    try:
        profile = Profile.model_validate_json(kept.document)
    except ValidationError as error:
        raise ValueError(f"the profile it began under cannot be read: {error.error_count()} faults") from None
    execution = Execution(
        program=program_from(row.request, profile),
        image_digest=row.image_digest,
        id=row.id,
        seed=row.seed,
        created_ns=row.created_ns,
        ended_ns=row.ended_ns,
        attempts=row.attempts,
        began=monotonic_of(row.created_ns),
    )
    for part in await store.logs(row.id):
        execution.logs += [LogLine(*line) for line in json.loads(part.data)]
    for file in await store.files(row.id):
        execution.files.append(
            File(number=file.number, name=file.name, type=file.type, data=file.data, sha256=file.sha256)
        )
    calls = [journalled_call(call) for call in await store.calls(row.id)]
    execution.calls += [call.record for call in calls]
    journal = execution.journal = Journal(store, execution)
    journal.restored(calls, await store.trace(row.id), row.attempts)
    if row.state == "ended":
        put_outcome(execution, row.outcome)
        execution.state = "ended"
        execution.ended.set()
        execution.halted.set()
    elif row.state == "paused":
        execution.state = execution.status = "paused"
        execution.halted.set()
    return execution
