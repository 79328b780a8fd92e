"""The store: what one durable write costs on SQLite and PostgreSQL, and ten thousand paused executions at once.

`first_write` is what an execution's first call that may change something waits for (itself, its profile, the call's
intent, its trace), `answer_write` what its answer does, `call` both. `unsynced` is the same in memory, where a sync
costs nothing, and `sync` one small write with fdatasync and nothing else; `burst` is many writers at once.
PostgreSQL is the installed one, with its own settings but for a place and a port.
"""

import asyncio
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.machine import ROOT
from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from runtime.store.changes import Change, EndCall, PutApproval, PutCall, PutExecution, PutProfile, PutTrace, SuspendCall
from runtime.store.connection import Database
from runtime.store.records import ApprovalRow, CallRow, ExecutionRow, ExecutionState, ProfileRow, TraceRow
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from tests.store.postgres_server import PostgresServer, running_postgres

_WRITES = 500
_BURST = 1_000
_WARM_UP = 50
_CALLS = 10
_AT_ONCE = 50
_PAGE = 1_000
_PROFILE = ProfileRow(digest="p" * 64, document='{"name":"standard"}' * 100)
_numbers = itertools.count(1)


def execution(state: ExecutionState = "running") -> ExecutionRow:
    number = next(_numbers)
    return ExecutionRow(
        id=f"exe_{number:012x}{os.urandom(10).hex()}",
        tenant="agent/",
        principal="agent",
        created_ns=time.time_ns(),
        updated_ns=time.time_ns(),
        image_digest="i" * 64,
        profile_digest=_PROFILE.digest,
        request='{"code":"' + "x" * 1_000 + '"}',
        seed=os.urandom(32),
        start_ns=time.time_ns(),
        state=state,
    )


def call(of: ExecutionRow, number: int) -> CallRow:
    return CallRow(
        execution_id=of.id,
        number=number,
        call_id=number,
        kind="tool",
        name="ledger.create_entry",
        payload='{"account":"4711","amount":1250,"currency":"EUR","text":"invoice"}',
        payload_digest="d" * 64,
        read_only=False,
        idempotency_key=f"{of.id}-{number}",
        started_ns=time.time_ns(),
    )


def begun(row: ExecutionRow) -> list[Change]:
    return [PutExecution(row), PutProfile(_PROFILE), PutCall(call(row, 1)), heard(row, 0)]


def heard(row: ExecutionRow, part: int) -> PutTrace:
    return PutTrace(TraceRow(execution_id=row.id, part=part, data=os.urandom(24)))


def answered(row: ExecutionRow, number: int) -> EndCall:
    return EndCall(
        execution_id=row.id,
        number=number,
        ended_ns=time.time_ns(),
        ok=True,
        answer='{"id":"entry-00001","account":"4711","amount":1250,"state":"booked","balance":98250}',
        answer_digest="a" * 64,
        record='{"http_status":201,"egress":"allowed","outcome":"ok","bytes_in":85,"bytes_out":66}',
    )


def paused(row: ExecutionRow) -> list[Change]:
    """Ten small calls behind it, and one more that a human is asked about."""
    calls: list[Change] = [
        c for n in range(1, _CALLS + 1) for c in (PutCall(call(row, n)), answered(row, n), heard(row, n))
    ]
    asked = ApprovalRow(
        id=f"apr{row.id[3:]}",
        execution_id=row.id,
        call_number=_CALLS + 1,
        tenant=row.tenant,
        digest="d" * 64,
        request='{"shown":"' + "x" * 1_500 + '"}',
        created_ns=1,
        expires_ns=2,
    )
    suspended = (PutCall(call(row, _CALLS + 1)), SuspendCall(execution_id=row.id, number=_CALLS + 1))
    return [PutExecution(row), PutProfile(_PROFILE), *calls, *suspended, PutApproval(asked)]


async def timed(store: SqlStore, writes: Iterable[list[Change]]) -> list[float]:
    """Milliseconds of each, one after the other."""
    times = []
    for changes in writes:
        begun_at = time.perf_counter()
        await store.write(*changes)
        times.append((time.perf_counter() - begun_at) * 1e3)
    return times[min(_WARM_UP, len(times) // 2) :]


async def writing(store: SqlStore, label: str) -> Round:
    rows = [execution() for _ in range(_WRITES)]
    measured = Round()
    measured.sample(f"{label}_first_write_ms", await timed(store, (begun(row) for row in rows)))
    measured.sample(f"{label}_answer_write_ms", await timed(store, ([answered(row, 1)] for row in rows)))
    measured.figures[f"{label}_call_p50_ms"] = sum(
        measured.figures[f"{label}_{kind}_write_p50_ms"] for kind in ("first", "answer")
    )
    many = [begun(execution()) for _ in range(_BURST)]
    began = time.perf_counter()
    await asyncio.gather(*(store.write(*changes) for changes in many))
    measured.figures[f"{label}_burst_writes_per_s"] = _BURST / (time.perf_counter() - began)
    return measured


async def holding(store: SqlStore, label: str, size: Callable[[], int], count: int) -> Round:
    """`count` paused executions: written, listed, one read back, and what they take on disk."""
    before = size()
    began = time.perf_counter()
    for rows in itertools.batched((execution(state="paused") for _ in range(count)), _AT_ONCE, strict=False):
        await asyncio.gather(*(store.write(*paused(row)) for row in rows))
    figures = {f"{label}_pause_per_s": count / (time.perf_counter() - began)}
    figures[f"{label}_paused_kb"] = (size() - before) / count / 1e3
    began = time.perf_counter()
    listed, after = 0, ""
    while page := await store.unfinished(after, _PAGE):
        listed, after = listed + len(page), page[-1].id
    figures[f"{label}_list_s"] = time.perf_counter() - began
    assert listed >= count
    began = time.perf_counter()
    assert len(await store.calls(after)) == _CALLS + 1
    figures[f"{label}_calls_read_ms"] = (time.perf_counter() - began) * 1e3
    return Round(figures=figures)


async def measured(database: Database, label: str, size: Callable[[], int], count: int) -> Round:
    store = SqlStore(database)
    await store.open()
    both = await writing(store, label)
    await store.close()
    store = SqlStore(database)
    await store.open()
    both.add(await holding(store, label, size, count))
    await store.close()
    return both


def syncing(directory: Path) -> Round:
    """What the disk takes for one small write, without any store."""
    times = []
    with (directory / "synced").open("wb", buffering=0) as file:
        for _ in range(_WRITES):
            began = time.perf_counter()
            file.write(b"x" * 4096)
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - began) * 1e3)
    found = Round()
    found.sample("sync_ms", times)
    return found


def sqlite_round(count: int) -> Round:
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as name:
        found = syncing(Path(name))
        path = Path(name) / "store.sqlite"
        database = SqliteDatabase(path)
        found.add(asyncio.run(measured(database, "sqlite", lambda: _checkpointed(database, path), count)))
        return found


def unsynced_round() -> Round:
    """On a file system in memory, if there is one."""

    async def write(place: Path) -> Round:
        store = SqlStore(SqliteDatabase(place / "store.sqlite"))
        await store.open()
        both = await writing(store, "unsynced")
        await store.close()
        return both

    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        return asyncio.run(write(Path(name)))


def _checkpointed(database: SqliteDatabase, path: Path) -> int:
    """Bytes of the file once the write-ahead log is in it."""
    connection = database.connect()
    connection.command("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return path.stat().st_size


def postgres_round(server: PostgresServer, count: int) -> Round:
    name = server.new_database()

    def size() -> int:
        return int(server.command(f"SELECT pg_database_size('{name}')")[0][0])

    return asyncio.run(measured(server.database(name), "postgres", size, count))


@contextmanager
def _server() -> Iterator[PostgresServer]:
    (ROOT / "build").mkdir(exist_ok=True)
    with running_postgres(synced=True) as server:
        yield server


CHARTS = [
    Chart(
        kind="distribution",
        title="One durable write",
        names=[
            "sync_ms",
            *(f"{label}_{kind}_write_ms" for label in ("sqlite", "postgres") for kind in ("first", "answer")),
        ],
        unit="ms",
    ),
    Chart(kind="bars", title="A paused execution on disk", names=["sqlite_paused_kb", "postgres_paused_kb"], unit="kB"),
]


def main() -> None:
    arguments = parse(options(__doc__, rounds=3, n=10_000, n_means="paused executions"))
    rounds = []
    with _server() as server:
        for _ in counted("store", arguments.rounds):
            rounds.append(sqlite_round(arguments.n))
            rounds[-1].add(unsynced_round())
            rounds[-1].add(postgres_round(server, arguments.n))
    finish("store", arguments, rounds, CHARTS)


if __name__ == "__main__":
    main()
