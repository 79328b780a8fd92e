"""The journal of an execution over a real store: what was under way when its writer left does not stand in the way."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime.execution.archive import Archive
from runtime.execution.call_record import JournalledCall
from runtime.execution.execution import PAUSED, Execution, HostCallRecord
from runtime.execution.journal import Journal
from runtime.execution.outcome_record import due_ns_of
from runtime.execution.registry import Registry
from runtime.isolate import Trace
from runtime.store.errors import StoreUnavailableError
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from runtime.worker.frames import Call
from tests.execution.test_fair_queue import execution


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqlStore]:
    opened = SqlStore(SqliteDatabase(tmp_path / "store.sqlite", lock_wait_s=10))
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Nobody else writes the file inside the block."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.close()


def journalled(store: SqlStore) -> tuple[Execution, Journal, JournalledCall]:
    """An execution that has made one call that may change something."""
    of = execution("agent")
    of.started = of.created
    journal = of.journal = Journal(store, of)
    record = HostCallRecord(number=1, kind="tool", target="ledger.book", started=of.created)
    entry = JournalledCall(call=Call(1, 1, "ledger.book", "{}"), record=record)
    journal.called(entry)
    return of, journal, entry


async def as_far_as_it_gets(store: SqlStore) -> None:
    """Let others read the store, which the lock does not keep them from, as often as they could want to."""
    for _ in range(20):
        await store.executions()


async def test_an_end_is_kept_that_comes_while_a_call_is_being_recorded(store: SqlStore, tmp_path: Path) -> None:
    of, journal, entry = journalled(store)
    with held(tmp_path / "store.sqlite"):
        intending = asyncio.create_task(journal.intended(entry))
        async with asyncio.timeout(10):
            while entry.state != "intent":
                await asyncio.sleep(0)
        await asyncio.sleep(0)  # the write is the writer's now
        intending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await intending
        of.status, of.ended_ns = "limit_wall", of.created_ns + 1
        journal.changed()
        ending = asyncio.create_task(journal.write())
        await as_far_as_it_gets(store)
    async with asyncio.timeout(10):
        await ending
    row = await store.execution(of.id)
    assert row is not None
    assert (row.state, row.status) == ("ended", "limit_wall")
    (call,) = await store.calls(of.id)
    assert call.state == "intent"


async def test_an_end_is_kept_that_comes_after_a_write_was_given_up(tmp_path: Path) -> None:
    store = SqlStore(SqliteDatabase(tmp_path / "store.sqlite", lock_wait_s=10), slow_s=0.05)
    await store.open()
    of, journal, entry = journalled(store)
    with held(tmp_path / "store.sqlite"):
        with pytest.raises(StoreUnavailableError) as caught:
            await journal.intended(entry)
        assert caught.value.maybe
        of.status, of.ended_ns = "limit_wall", of.created_ns + 1
        journal.changed()
        ending = asyncio.create_task(journal.write_surely())
        await as_far_as_it_gets(store)
    async with asyncio.timeout(10):
        await ending
    row = await store.execution(of.id)
    assert row is not None
    assert (row.state, row.status) == ("ended", "limit_wall")
    await store.close()


async def test_a_pause_that_a_timer_ends_says_when_until_the_next_one(store: SqlStore) -> None:
    of, journal, _ = journalled(store)
    archive = Archive(Registry(), store)
    of.status = PAUSED
    for due_ns, told in ((7, {of.id: 7}), (0, {}), (9, {of.id: 9})):
        journal.heard(Trace(1, 1, 1, 0, complete=True, data=b"", due_ns=due_ns))
        journal.changed()
        await journal.write()
        assert await archive.waking() == told
    of.status = "running"
    journal.changed()
    await journal.write()
    assert await archive.waking() == {}


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"due_ns": "soon"}', '{"status": "succeeded"}'])
def test_what_does_not_say_when_it_wakes_waits_for_a_decision(text: str) -> None:
    assert due_ns_of(text) == 0
