"""A store on each database, made anew for every test."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from runtime.store.connection import Database
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from tests.store.postgres_server import PostgresServer

type MakeDatabase = Callable[[], Database]


@pytest.fixture(params=["sqlite", "postgres"])
def make_database(request: pytest.FixtureRequest, tmp_path: Path) -> MakeDatabase:
    """Each call another handle on the same, at first empty, database."""
    return _maker(request, tmp_path / "state")


@pytest.fixture(params=["sqlite", "postgres"])
def other_database(request: pytest.FixtureRequest, tmp_path: Path) -> MakeDatabase:
    """Another one."""
    return _maker(request, tmp_path / "other")


def _maker(request: pytest.FixtureRequest, directory: Path) -> MakeDatabase:
    if request.param == "sqlite":
        return lambda: SqliteDatabase(directory / "store.sqlite")
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.new_database()
    request.addfinalizer(lambda: server.drop_database(name))
    return lambda: server.database(name)


@pytest.fixture
async def store(make_database: MakeDatabase) -> AsyncIterator[SqlStore]:
    opened = SqlStore(make_database())
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()
