"""Two processes on one store: of what both want to do, one does it."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from runtime.store.changes import (
    DecideApproval,
    PutApproval,
    PutCall,
    PutExecution,
    UpdateExecution,
    UseApproval,
)
from runtime.store.errors import StoreConflictError
from runtime.store.sql_store import SqlStore
from tests.store.conftest import MakeDatabase
from tests.store.examples import answer, approval, begun, call, execution

ROUNDS = 20


@pytest.fixture
async def stores(make_database: MakeDatabase) -> AsyncIterator[tuple[SqlStore, SqlStore]]:
    """Opened at once: one of them makes the schema."""
    pair = SqlStore(make_database()), SqlStore(make_database())
    await asyncio.gather(*(store.open() for store in pair))
    yield pair
    for store in pair:
        await store.close()


async def test_of_what_two_want_one_does_it(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    for number in range(ROUNDS):
        row = execution()
        made, asked = call(row), approval(row)
        await one.write(*begun(row, made), PutApproval(asked))
        approve = DecideApproval(id=asked.id, state="approved", decided_ns=1)
        for mine, theirs in (
            (approve, DecideApproval(id=asked.id, state="denied", decided_ns=1)),
            (answer(made, answer="1"), answer(made, answer="2")),
            (PutCall(call(row, 2)), PutCall(call(row, 2))),
            (UpdateExecution(id=row.id, expect=1, updated_ns=1, attempts=2),) * 2,
            (PutExecution(execution(id=f"exe_{number}", idempotency_key=f"k{number}")),) * 2,
        ):
            outcomes = await asyncio.gather(one.write(mine), other.write(theirs), return_exceptions=True)
            assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType", "StoreConflictError"]


async def test_an_approval_is_used_by_one(stores: tuple[SqlStore, SqlStore]) -> None:
    row = execution()
    asked = approval(row)
    await stores[0].write(*begun(row), PutApproval(asked))
    await stores[1].write(DecideApproval(id=asked.id, state="approved", decided_ns=1))
    writes = (store.write(UseApproval(asked.id)) for store in stores)
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert sum(isinstance(outcome, StoreConflictError) for outcome in outcomes) == 1


async def test_one_claims_what_the_other_left_once_that_is_gone(
    stores: tuple[SqlStore, SqlStore], make_database: MakeDatabase
) -> None:
    one, other = stores
    assert await one.claim()
    assert await one.claim(), "it stays its own"
    assert not await other.claim()
    await one.close()
    async with asyncio.timeout(20):
        while not await other.claim():  # a server notices in its own time that a connection has gone
            await asyncio.sleep(0.01)
    later = SqlStore(make_database())
    await later.open()
    assert not await later.claim()
    await later.close()


async def test_each_reads_what_the_other_was_told_is_written(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    for _ in range(ROUNDS):
        row = execution()
        await one.write(PutExecution(row))
        assert await other.execution(row.id) == row


async def test_the_quota_counts_what_the_other_wrote_after_the_next_pruning(stores: tuple[SqlStore, SqlStore]) -> None:
    one, other = stores
    await one.write(PutExecution(execution()))
    assert (await other.usage()).bytes == 0
    await other.prune(0)
    assert await other.usage() == await one.usage()
