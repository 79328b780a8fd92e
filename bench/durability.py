"""Durable executions: what the journal adds to a call, how soon a paused one goes on, what it takes, recovery.

A whole cell over gRPC, with an upstream on loopback, on SQLite and on PostgreSQL. `write_added` is what a call that may
change something takes longer than one that only reads. `receipt` is the time from the request that decides to the
arrival of the decided call at its upstream, `reply` to when a client has the execution's end. The last round also holds
N paused executions at once. PostgreSQL is the installed one, with its own settings but for a place and a port.
"""

import argparse
import asyncio
import random
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.caller import Caller
from bench.durable_cell import durable_cell, durable_request
from bench.machine import ROOT
from bench.outage import MOST_KILLED, recovering
from bench.paused import JOURNALS, holding, resuming, stored
from bench.receiver import Receiver
from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from runtime.service.cell import Cell
from tests.store.postgres_server import PostgresServer, running_postgres

PROGRAMS: Final = {
    "none": "return 1 + 1",
    "read": "await codemode.receiver.look({name: 'read'})",
    "write": "await codemode.receiver.mark({name: 'write'})",
    "ten_writes": "for (let n = 0; n < 10; n++) await codemode.receiver.mark({name: 'write'})",
}
_TABLES: Final = "SELECT sum(pg_total_relation_size(relid)) FROM pg_stat_user_tables"
"""With their indexes; statistics that the server gathers about them are not counted."""
_WARM_UP: Final = 20
_PER_PART: Final = 100
"""Calls of a kind, executions stored and executions killed: one for each so many of N."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Database:
    """A store as lockgate.yaml has it; `query`: the one number that a statement of SQL gives."""

    label: str
    config: dict[str, Any]
    size: Callable[[], int]
    query: Callable[[str], int]


@contextmanager
def sqlite() -> Iterator[Database]:
    (ROOT / "build").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as directory:
        path = Path(directory) / "store.sqlite"

        def query(statement: str) -> int:
            with closing(sqlite3.connect(path)) as connection:
                return int(connection.execute(statement).fetchone()[0])

        yield Database(
            label="sqlite",
            config={"kind": "sqlite", "path": str(path)},
            size=lambda: query("PRAGMA page_count") * query("PRAGMA page_size"),
            query=query,
        )


@contextmanager
def postgres(server: PostgresServer) -> Iterator[Database]:
    name = server.new_database()
    with tempfile.TemporaryDirectory() as directory:
        password = Path(directory) / "password"
        password.write_text(server.password)
        yield Database(
            label="postgres",
            config={
                "kind": "postgres",
                "url": f"postgresql://lockgate@127.0.0.1:{server.port}/{name}",
                "password": {"file": str(password)},
            },
            size=lambda: int(server.command(_TABLES, name)[0][0]),
            query=lambda statement: int(server.command(statement, name)[0][0]),
        )


def calling(caller: Caller, label: str, count: int) -> Round:
    """Executions with no call, one, and ten, in a shuffled order."""
    took: dict[str, list[float]] = {kind: [] for kind in PROGRAMS}
    requests = {kind: durable_request(code) for kind, code in PROGRAMS.items()}
    for _ in range(count):
        for kind in random.sample(list(PROGRAMS), len(PROGRAMS)):
            took[kind].append(caller.timed(requests[kind])[0])
    measured = Round()
    for kind, values in took.items():
        measured.sample(f"{label}_{kind}_ms", values)
    measured.sample(
        f"{label}_write_added_ms",
        [write - read for write, read in zip(took["write"], took["read"], strict=True)],
        (50,),
    )
    return measured


def costing(caller: Caller, database: Database, count: int) -> Round:
    for kind in ("none", "write"):
        for _ in range(_WARM_UP):
            caller.timed(durable_request(PROGRAMS[kind]))
        if kind == "none":
            kept = database.query("SELECT count(*) FROM executions")
    measured = calling(caller, database.label, count)
    measured.figures[f"{database.label}_none_stored_count"] = float(kept)
    measured.add(stored(caller, database.label, database.size, count))
    return measured


def sqlite_round(cell: Cell, receiver: Receiver, database: Database, count: int, held: int) -> Round:
    part = max(2, count // _PER_PART)
    with Caller(cell.grpc_address, cell.token) as caller:
        measured = costing(caller, database, part)
        measured.add(resuming(caller, receiver, part, count))
    measured.add(recovering(cell, receiver, min(part, MOST_KILLED)))
    if held:
        with Caller(cell.grpc_address, cell.token) as caller:
            caller.settle()
            measured.add(holding(cell, caller, receiver, held))
        measured.add(recovering(cell, receiver, min(part, MOST_KILLED), "held_"))
    return measured


def postgres_round(cell: Cell, database: Database, count: int) -> Round:
    with Caller(cell.grpc_address, cell.token) as caller:
        return costing(caller, database, max(2, count // _PER_PART))


async def one_round(server: PostgresServer, count: int, *, last: bool) -> Round:
    with Receiver() as receiver:
        with sqlite() as database:
            async with durable_cell(receiver, database.config) as cell:
                held = count if last else 0
                measured = await asyncio.to_thread(sqlite_round, cell, receiver, database, count, held)
        with postgres(server) as database:
            async with durable_cell(receiver, database.config) as cell:
                measured.add(await asyncio.to_thread(postgres_round, cell, database, count))
    return measured


async def measure(arguments: argparse.Namespace) -> list[Round]:
    with running_postgres(synced=True) as server:
        return [
            await one_round(server, arguments.n, last=number == arguments.rounds - 1)
            for number in counted("durability", arguments.rounds)
        ]


def charts() -> Iterator[Chart]:
    for label, name in (("sqlite", "SQLite"), ("postgres", "PostgreSQL")):
        names = [f"{label}_{kind}_ms" for kind in PROGRAMS]
        yield Chart(kind="distribution", title=f"An execution by its calls, {name}", names=names, unit="ms")
    names = [f"resume_{length}_{kind}_ms" for length in JOURNALS[1:3] for kind in ("receipt", "reply")]
    yield Chart(kind="distribution", title="From a decision on, by calls made before", names=names, unit="ms")
    names = [f"resume_{kind}_ms" for kind in ("receipt", "reply")]
    yield Chart(kind="growth", title="The same, p50", names=names, unit="ms", along="calls made before")
    names = ["held_gateway_before_pss_mb", "held_gateway_after_pss_mb"]
    yield Chart(kind="bars", title="The gateway, before and with all paused", names=names, unit="MB of PSS")
    names = [f"{beside}recover_{kind}_s" for beside in ("", "held_") for kind in ("workers", "gateway")]
    yield Chart(kind="bars", title="From a kill to the last end", names=names, unit="s")


def main() -> None:
    arguments = parse(options(__doc__, rounds=3, n=10_000, n_means="paused executions at once"))
    finish("durability", arguments, asyncio.run(measure(arguments)), charts())


if __name__ == "__main__":
    main()
