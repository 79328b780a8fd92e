"""What every store does, whatever database is behind it."""

import asyncio
from dataclasses import replace

import pytest

from runtime.store.changes import (
    DecideApproval,
    EndCall,
    Fence,
    PutApproval,
    PutCall,
    PutExecution,
    PutProfile,
    PutTrace,
    UpdateExecution,
    UseApproval,
)
from runtime.store.errors import StoreConflictError
from runtime.store.records import ProfileRow
from runtime.store.sql_store import SqlStore
from runtime.store.store import Store
from tests.store.conftest import MakeDatabase
from tests.store.examples import answer, approval, begun, call, execution, trace


async def test_what_was_written_is_read_back_whole(store: Store) -> None:
    row = execution(idempotency_key="once", session="notebook", parent="exe_0", outcome="{}", status="OK")
    made = call(row, payload='"\U0001f600 ü"')
    profile = ProfileRow(digest="p" * 64, document="{}")
    await store.write(PutExecution(row), PutProfile(profile), PutCall(made), PutTrace(trace(row)))
    assert await store.execution(row.id) == row
    assert await store.execution_by_key(row.principal, "once") == row
    assert await store.calls(row.id) == [made]
    assert await store.trace(row.id) == [trace(row)]
    assert await store.profile(profile.digest) == profile


async def test_a_conflict_refuses_the_whole_write_and_no_other_of_its_group(store: Store) -> None:
    rows = [execution() for _ in range(5)]
    await store.write(PutExecution(rows[2]))
    writes = [store.write(PutExecution(row), PutCall(call(row))) for row in rows]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 2 + [StoreConflictError] + [type(None)] * 2
    assert [len(await store.calls(row.id)) for row in rows] == [1, 1, 0, 1, 1]


async def test_a_writer_whose_attempt_is_old_is_refused(store: Store) -> None:
    row = execution()
    await store.write(PutExecution(row))
    await store.write(UpdateExecution(id=row.id, expect=1, updated_ns=2, attempts=2))
    with pytest.raises(StoreConflictError, match="attempt 1 is not its last"):
        await store.write(Fence(id=row.id, expect=1), PutCall(call(row)))
    assert await store.calls(row.id) == []
    await store.write(Fence(id=row.id, expect=2), PutCall(call(row)))
    ended = UpdateExecution(id=row.id, expect=2, updated_ns=3, state="ended", ended_ns=3, outcome="{}", status="OK")
    await store.write(ended)
    with pytest.raises(StoreConflictError, match="has ended"):
        await store.write(ended)
    kept = await store.execution(row.id)
    assert kept == replace(row, attempts=2, updated_ns=3, state="ended", ended_ns=3, outcome="{}", status="OK")


async def test_a_call_has_one_answer(store: Store) -> None:
    row = execution()
    made = call(row)
    await store.write(*begun(row, made))
    told: EndCall = answer(made)
    await store.write(told)
    with pytest.raises(StoreConflictError, match="has its answer"):
        await store.write(replace(told, answer='"other"'))
    (kept,) = await store.calls(row.id)
    assert (kept.state, kept.ok, kept.answer, kept.record) == ("done", True, told.answer, told.record)


async def test_of_two_deciders_at_once_one_wins_and_the_other_is_told(store: Store) -> None:
    row = execution()
    asked = approval(row)
    await store.write(*begun(row), PutApproval(asked))
    approve = DecideApproval(id=asked.id, state="approved", decided_ns=5)
    deny = DecideApproval(id=asked.id, state="denied", decided_ns=5, reason="no")
    first, second = await asyncio.gather(store.write(approve), store.write(deny), return_exceptions=True)
    assert first is None
    assert isinstance(second, StoreConflictError)
    assert "not open" in str(second)
    kept = await store.approval(asked.id)
    assert kept is not None
    assert kept.state == "approved"


async def test_an_approval_is_used_once_and_together_with_its_call(store: Store) -> None:
    row = execution()
    asked = approval(row)
    await store.write(*begun(row), PutApproval(asked))
    await store.write(DecideApproval(id=asked.id, state="approved", decided_ns=5))
    writes = [store.write(UseApproval(asked.id), PutCall(call(row, number))) for number in (1, 2)]
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(outcome, StoreConflictError) for outcome in outcomes) == 1
    assert len(await store.calls(row.id)) == 1


async def test_what_was_written_is_there_after_opening_again(make_database: MakeDatabase) -> None:
    row = execution()
    for written in (False, True):
        opened = SqlStore(make_database())
        await opened.open()
        if not written:
            opened.write_soon(PutExecution(row))
        else:
            assert await opened.execution(row.id) == row
            assert (await opened.usage(row.tenant)).bytes > 0
        await opened.close()
