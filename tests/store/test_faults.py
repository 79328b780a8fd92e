"""A store that is full, locked, slow, gone or damaged: refused clearly, nothing lost, taken up again by itself."""

import asyncio
import contextlib
import json
import random
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.store import writer
from runtime.store.changes import PutCall, PutExecution, PutTrace
from runtime.store.connection import Connection, Database
from runtime.store.errors import StoreConflictError, StoreError, StoreUnavailableError
from runtime.store.postgres import PostgresDatabase
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from runtime.store.statement import Statement
from tests.store.conftest import MakeDatabase
from tests.store.examples import begun, call, execution, trace
from tests.store.postgres_server import PostgresServer
from tests.store.written import database


async def recovered(store: SqlStore) -> None:
    """Until it takes writes again."""
    async with asyncio.timeout(30):
        while not store.state.ok:
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_killed_writer_loses_nothing_that_it_was_told_is_durable(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    place = {"sqlite": str(tmp_path / "store.sqlite")}
    if kind == "postgres":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = f"postgresql://lockgate@127.0.0.1:{server.port}/{server.new_database()}"
        place = {"postgres": url, "password": server.password}
    told: list[str] = []
    chance = random.Random(6)
    for _ in range(4):
        told += _killed_after(place, chance.randint(1, 300))
    asyncio.run(_all_there(database(place), told))


def _killed_after(place: dict[str, str], lines: int) -> list[str]:
    """What a writer said before it was killed, in the middle of whatever it did after so many lines."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.store.written", json.dumps(place)], stdout=subprocess.PIPE
    ) as writing:
        assert writing.stdout is not None
        said = [writing.stdout.readline().decode() for _ in range(lines)]
        writing.send_signal(signal.SIGKILL)
        said += [line.decode() for line in writing.stdout]
    assert writing.returncode == -signal.SIGKILL
    assert len(said) >= lines
    return [line.strip() for line in said if line.endswith("\n")]


async def _all_there(held: Database, told: Sequence[str]) -> None:
    store = SqlStore(held)
    await store.open()
    for what, execution_id in (line.split() for line in told):
        calls = await store.calls(execution_id)
        assert await store.execution(execution_id) is not None
        assert len(calls) == 2
        assert what == "intent" or calls[0].answer is not None
    for head in await store.executions(limit=10_000):
        assert len(await store.calls(head.id)) in {0, 2}, "a write is made whole or not at all"
    await store.close()


def test_a_full_disk_refuses_and_is_taken_up_again_when_there_is_room(tmp_path: Path) -> None:
    place = tmp_path / "disk"
    place.mkdir()
    ran = subprocess.run(
        [sys.executable, "-m", "tests.store.full_disk", str(place)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["written"] > 20
    assert found["kept"] == found["written"]
    assert "is full; free space" in found["reason"]
    assert "is full; free space" in found["refused_at_once"]
    assert found["again"]


async def test_another_process_that_ends_leaves_the_log_of_this_one_alone(tmp_path: Path) -> None:
    """The writer connects again while readers have the file open: their locks must survive that."""
    path = tmp_path / "store.sqlite"
    store = SqlStore(SqliteDatabase(path, lock_wait_s=0.05))
    await store.open()
    rows = [execution() for _ in range(5)]
    for row in rows:
        await store.write(PutExecution(row))
        assert await store.execution(row.id) == row
        async with holding_the_lock(path):
            with pytest.raises(StoreUnavailableError):
                await store.write(PutExecution(execution()))
        await recovered(store)
    assert len(await store.executions()) == len(rows)
    await store.close()
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


async def test_a_locked_file_refuses_until_the_lock_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    store = SqlStore(SqliteDatabase(path, lock_wait_s=0.1))
    await store.open()
    before, during = execution(), execution()
    await store.write(PutExecution(before))
    async with holding_the_lock(path):
        with pytest.raises(StoreUnavailableError, match="another process has held the lock") as caught:
            await store.write(PutExecution(execution()))
        assert not caught.value.maybe
        assert not store.state.ok
        with pytest.raises(StoreUnavailableError, match="another process"):
            await store.write(PutExecution(execution()))
        store.write_soon(*begun(during, call(during)))
        store.write_soon(PutTrace(trace(during)))
        assert await store.execution(before.id) == before, "reads go on"
    await recovered(store)
    await store.flush()
    assert await store.execution(during.id) == during
    assert len(await store.trace(during.id)) == 1
    await store.close()


@contextlib.asynccontextmanager
async def holding_the_lock(path: Path) -> Any:
    program = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None); c.execute('BEGIN IMMEDIATE');"
        " print('held', flush=True); sys.stdin.read()"
    )
    holder = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(path), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    assert await holder.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        holder.stdin.close()
        await holder.wait()


async def test_what_waits_for_a_locked_store_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING_BYTES", 100_000)
    store = SqlStore(SqliteDatabase(tmp_path / "store.sqlite", lock_wait_s=0.05))
    await store.open()
    rows = [execution(request="x" * 9_000) for _ in range(20)]
    put = 0
    async with holding_the_lock(tmp_path / "store.sqlite"):
        with pytest.raises(StoreUnavailableError, match="wait for the store already"):
            for row in rows:
                store.write_soon(PutExecution(row))
                put += 1
        assert 5 < put < 12
    await recovered(store)
    await store.flush()
    assert len(await store.executions()) == put
    await store.close()


async def test_one_write_larger_than_what_may_wait_is_made(
    make_database: MakeDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "MOST_WAITING_BYTES", 100_000)
    store = SqlStore(make_database())
    await store.open()
    row = execution(request="x" * 3_000_000)
    await store.write(PutExecution(row))
    assert await store.execution(row.id) == row
    await store.close()


async def test_a_server_that_stops_loses_nothing_and_is_found_again(postgres: PostgresServer) -> None:
    store = SqlStore(postgres.database(postgres.new_database()))
    await store.open()
    before, during = execution(), execution()
    await store.write(*begun(before, call(before)))
    assert await store.execution(before.id) == before
    await asyncio.to_thread(postgres.stop, "immediate")
    try:
        with pytest.raises(StoreUnavailableError, match="PostgreSQL"):
            await store.write(PutExecution(execution()))
        assert "PostgreSQL" in store.state.reason
        with pytest.raises(StoreUnavailableError, match="PostgreSQL"):
            await store.execution(before.id)
        store.write_soon(PutExecution(during))
    finally:
        await asyncio.to_thread(postgres.start)
    await recovered(store)
    await store.flush()
    assert await store.execution(before.id) == before
    assert await store.execution(during.id) == during
    await store.close()


async def test_a_server_that_speaks_no_tls_where_it_should_is_told_no_password(postgres: PostgresServer) -> None:
    with pytest.raises(StoreUnavailableError, match="PostgreSQL cannot be reached"):
        await SqlStore(PostgresDatabase(postgres.login("postgres", tls=True))).open()


async def test_a_lock_of_another_transaction_is_waited_for_and_then_refused(postgres: PostgresServer) -> None:
    name = postgres.new_database()
    store = SqlStore(postgres.database(name))
    await store.open()
    row = execution()
    await store.write(PutExecution(row))
    other = postgres.database(name).connect()
    other.command("BEGIN")
    other.command("LOCK TABLE calls IN ACCESS EXCLUSIVE MODE")
    with pytest.raises(StoreUnavailableError, match="held a lock on the store for too long"):
        await store.write(PutCall(call(row)))
    other.close()
    await recovered(store)
    await store.write(PutCall(call(row)))
    await store.close()


class HeldConnection:
    """Its commits wait for `go`."""

    def __init__(self, inner: Connection, go: threading.Event) -> None:
        self.inner = inner
        self.go = go

    def run(self, statement: Statement, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        return self.inner.run(statement, values)

    def command(self, text: str) -> None:
        if text == "COMMIT":
            assert self.go.wait(60)
        self.inner.command(text)

    def close(self) -> None:
        self.inner.close()


class HeldDatabase(SqliteDatabase):
    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.go = threading.Event()
        self.go.set()

    def connect(self) -> Connection:
        return HeldConnection(super().connect(), self.go)


async def test_a_slow_store_gives_up_what_waits_and_says_what_may_have_been_made(tmp_path: Path) -> None:
    held = HeldDatabase(tmp_path / "store.sqlite")
    store = SqlStore(held, slow_s=0.2)
    await store.open()
    held.go.clear()
    first, second = execution(), execution()
    begun_first = asyncio.create_task(store.write(PutExecution(first)))
    await asyncio.sleep(0.1)
    waiting = asyncio.create_task(store.write(PutExecution(second)))
    with pytest.raises(StoreUnavailableError, match="the store is slow") as caught:
        await begun_first
    assert caught.value.maybe
    with pytest.raises(StoreUnavailableError, match="the store is slow") as caught:
        await waiting
    assert not caught.value.maybe
    assert "slow" in store.state.reason
    with pytest.raises(StoreUnavailableError, match="slow"):
        await store.write(PutExecution(execution()))
    held.go.set()
    await recovered(store)
    await store.flush()
    assert await store.execution(first.id) == first
    assert await store.execution(second.id) is None, "what was given up unmade is not made later"
    await store.close()


async def test_a_damaged_file_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.write_bytes(b"not a database, but long enough to look at. " * 100)
    with pytest.raises(StoreError, match="is not an SQLite database; restore a back-up"):
        await SqlStore(SqliteDatabase(path)).open()


async def test_a_place_that_may_not_be_used_is_told_as_such() -> None:
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        await SqlStore(SqliteDatabase(Path("/proc/store.sqlite"))).open()


async def test_a_row_that_cannot_be_kept_refuses_its_own_write_only(make_database: MakeDatabase) -> None:
    store = SqlStore(make_database())
    await store.open()
    rows = [execution(), execution(start_ns=1 << 70), execution()]
    outcomes = await asyncio.gather(*(store.write(PutExecution(row)) for row in rows), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [type(None), StoreError, type(None)]
    assert "cannot keep this" in str(outcomes[1])
    assert store.state.ok
    store.write_soon(PutExecution(rows[0]), PutExecution(execution()))
    with pytest.raises(StoreConflictError):
        await store.write(PutExecution(rows[0]))
    assert len(await store.executions()) == 2
    await store.close()


async def test_a_closed_store_refuses(make_database: MakeDatabase) -> None:
    store = SqlStore(make_database())
    with pytest.raises(StoreUnavailableError, match="not open"):
        await store.write(PutExecution(execution()))
    await store.open()
    await store.close()
    assert not store.state.ok
    with pytest.raises(StoreUnavailableError, match="not open"):
        store.write_soon(PutExecution(execution()))


async def test_every_commit_is_synced(tmp_path: Path) -> None:
    database = SqliteDatabase(tmp_path / "store.sqlite")
    connection = database.connect()
    assert connection.run(Statement.of("PRAGMA synchronous"), ()) == [(2,)]
    assert connection.run(Statement.of("PRAGMA journal_mode"), ()) == [("wal",)]
    connection.close()
    assert sqlite3.threadsafety == 3
    database.close()
