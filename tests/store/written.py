"""A process that writes until it is killed, and says on standard output which executions it was told are durable.

`python -m tests.store.written JSON`: {"sqlite": path} or {"postgres": url, "password": ...}.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from pydantic import SecretStr

from runtime.store.changes import PutCall, PutExecution
from runtime.store.connection import Database
from runtime.store.postgres import Login, PostgresDatabase
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from tests.store.examples import answer, call, execution

_AT_ONCE = 4


def database(place: dict[str, str]) -> Database:
    if "sqlite" in place:
        return SqliteDatabase(Path(place["sqlite"]))
    return PostgresDatabase(Login.of(place["postgres"], SecretStr(place["password"]), tls=False))


async def write_on(store: SqlStore) -> None:
    """Two writes for each execution: its intent, and the answer."""
    while True:
        row = execution(id=f"exe_{os.getpid()}_{os.urandom(8).hex()}", request="x" * 2_000)
        made = call(row)
        store.write_soon(PutExecution(row))
        await store.write(PutCall(made), PutCall(call(row, 2)))
        _say("intent", row.id)
        await store.write(answer(made))
        _say("answer", row.id)


def _say(what: str, execution_id: str) -> None:
    os.write(1, f"{what} {execution_id}\n".encode())


async def main(place: dict[str, str]) -> None:
    store = SqlStore(database(place))
    await store.open()
    await asyncio.gather(*(write_on(store) for _ in range(_AT_ONCE)))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
