"""A store on each database, made anew for every test."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from runtime.store.connection import Database
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase

type MakeDatabase = Callable[[], Database]


@pytest.fixture(params=["sqlite"])
def make_database(request: pytest.FixtureRequest, tmp_path: Path) -> MakeDatabase:
    """Each call another handle on the same, at first empty, database."""
    assert request.param == "sqlite"
    return lambda: SqliteDatabase(tmp_path / "state" / "store.sqlite")


@pytest.fixture
async def store(make_database: MakeDatabase) -> AsyncIterator[SqlStore]:
    opened = SqlStore(make_database())
    await opened.open()
    try:
        yield opened
    finally:
        await opened.close()
