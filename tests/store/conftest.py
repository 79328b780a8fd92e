"""A store on each database, made anew for every test."""

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from runtime.store.connection import Database
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from tests.store.postgres_server import PostgresServer, running_postgres

type MakeDatabase = Callable[[], Database]


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(params=["sqlite", "postgres"])
def make_database(request: pytest.FixtureRequest, tmp_path: Path) -> MakeDatabase:
    """Each call another handle on the same, at first empty, database."""
    if request.param == "sqlite":
        return lambda: SqliteDatabase(tmp_path / "state" / "store.sqlite")
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.new_database()
    return lambda: server.database(name)


@pytest.fixture
async def store(make_database: MakeDatabase) -> AsyncIterator[SqlStore]:
    opened = SqlStore(make_database())
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()
