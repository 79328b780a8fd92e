"""Back-ups: from each database into a file and from there into each, with every row as it was."""

import asyncio
import stat
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, inspect, select
from sqlalchemy.exc import SQLAlchemyError

from runtime.store import schema
from runtime.store.backup import back_up, restore
from runtime.store.changes import PutApproval, PutFile, PutResult, PutSession, PutValue
from runtime.store.connection import Database
from runtime.store.errors import StoreError
from runtime.store.migrate import create, migrate, upgrade, version
from runtime.store.records import FileRow, ResultRow, SessionRow, ValueRow
from runtime.store.sql_store import SqlStore
from tests.store.conftest import MakeDatabase
from tests.store.examples import answer, approval, begun, call, ended, execution


async def fill(database: Database, executions: int = 3) -> None:
    store = SqlStore(database)
    await store.open()
    for number in range(executions):
        row = execution(idempotency_key=f"key\0{number}", session="s1")
        made = call(row, payload='"\ud800"')
        await store.write(
            *begun(row, made, call(row, 2, payload=None, read_only=True)),
            PutApproval(approval(row)),
            PutFile(FileRow(execution_id=row.id, number=1, name="a", type="b", sha256="0", data=bytes(range(256)))),
        )
        await store.write(answer(made), ended(row, number))
    await store.write(
        PutSession(SessionRow(id="s1", tenant="acme", name="n", created_ns=1, used_ns=1)),
        PutResult(ResultRow(handle="r1", tenant="acme", json="[]", expires_ns=1)),
        PutValue(ValueRow(tenant="acme", session="n", key="k", value="1", updated_ns=1)),
    )
    await store.close()


def left_over(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir() if path.name.startswith((".", "saved-"))]


def rows(database: Database) -> dict[str, list[Any]]:
    with database.snapshot() as connection:
        return {
            name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for name, table in schema.METADATA.tables.items()
        }


async def test_what_is_restored_is_what_was_there(
    make_database: MakeDatabase, other_database: MakeDatabase, tmp_path: Path
) -> None:
    await fill(make_database(), executions=21)
    saved = tmp_path / "saved"
    source, target = make_database(), other_database()
    counts = await asyncio.to_thread(back_up, source, saved)
    assert (counts["executions"], counts["calls"], counts["files"]) == (21, 42, 21)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert left_over(tmp_path) == []
    target.connect().close()
    assert await asyncio.to_thread(restore, saved, target) == counts
    assert rows(target) == rows(source)
    source.close()
    target.close()


async def test_a_store_that_has_something_is_replaced_only_if_told_so(
    make_database: MakeDatabase, other_database: MakeDatabase, tmp_path: Path
) -> None:
    await fill(make_database())
    await fill(other_database(), executions=1)
    source, target = make_database(), other_database()
    before = rows(target)
    await asyncio.to_thread(back_up, source, tmp_path / "saved")
    with pytest.raises(StoreError, match="--replace"):
        await asyncio.to_thread(restore, tmp_path / "saved", target)
    assert rows(target) == before
    await asyncio.to_thread(restore, tmp_path / "saved", target, replace=True)
    assert rows(target) == rows(source)
    source.close()
    target.close()


async def test_a_back_up_is_of_one_moment_while_writes_go_on(make_database: MakeDatabase, tmp_path: Path) -> None:
    """Each write has an execution and two calls: a back-up with one of them and not the others would be torn."""
    store = SqlStore(make_database())
    await store.open()
    done = asyncio.Event()

    async def write_on() -> None:
        for _ in range(500):
            row = execution()
            await store.write(*begun(row, call(row), call(row, 2)))
            if done.is_set():
                return

    writing = asyncio.create_task(write_on())
    source = make_database()
    for number in range(3):
        counts = await asyncio.to_thread(back_up, source, tmp_path / f"saved{number}")
        assert counts["calls"] == 2 * counts["executions"] == 2 * counts["holdings"]
    done.set()
    await writing
    source.close()
    await store.close()


async def test_a_file_that_is_no_back_up_is_refused_and_the_store_left_alone(
    make_database: MakeDatabase, tmp_path: Path
) -> None:
    await fill(make_database())
    target = make_database()
    before = rows(target)
    (tmp_path / "text").write_text("not a database " * 100)
    (tmp_path / "empty").touch()
    for name in ("text", "empty", "missing"):
        with pytest.raises(Exception) as caught:
            await asyncio.to_thread(restore, tmp_path / name, target, replace=True)
        assert any(word in str(caught.value) for word in ("no back-up", "none of Lockgate", "not a database"))
    assert rows(target) == before
    with pytest.raises(StoreError, match="there already"):
        await asyncio.to_thread(back_up, target, tmp_path / "text")
    target.close()


async def test_the_version_of_a_newer_lockgate_is_refused(make_database: MakeDatabase) -> None:
    await fill(make_database())
    database = make_database()
    with database.exclusive() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="9999, from a newer Lockgate"):
        await SqlStore(database).open()
    database.close()


def told(index: Any) -> dict[str, str]:
    """What a dialect says of an index, in words: conditions are no values."""
    return {name: str(value) for name, value in index.get("dialect_options", {}).items()}


def shape(connection: Connection) -> dict[str, Any]:
    """Every table with its columns, keys and indexes; on SQLite also the very statements that made them."""
    inspector = inspect(connection)
    tables = {
        name: (
            [{**column, "type": repr(column["type"])} for column in inspector.get_columns(name)],
            inspector.get_pk_constraint(name),
            [index | {"dialect_options": told(index)} for index in inspector.get_indexes(name)],
            inspector.get_unique_constraints(name),
        )
        for name in inspector.get_table_names()
    }
    if connection.dialect.name == "sqlite":
        made = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE name != 'alembic_version'")
        tables |= {f"{name} (statement)": " ".join((sql or "").split()) for name, sql in made}
    return tables


def test_the_migrations_make_the_schema_of_the_code(make_database: MakeDatabase) -> None:
    database = make_database()
    database.connect().close()
    with database.exclusive() as connection:
        upgrade(connection, "")
        assert compare_metadata(MigrationContext.configure(connection), schema.METADATA) == []
        migrated = version(connection), shape(connection)
        schema.METADATA.drop_all(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
        create(connection)
        assert migrated == (version(connection), shape(connection))
        assert migrated[0] == schema.VERSION
    database.close()


def test_a_database_that_has_tables_of_that_name_already_is_left_alone(make_database: MakeDatabase) -> None:
    database = make_database()
    database.connect().close()
    with database.exclusive() as connection:
        connection.exec_driver_sql("CREATE TABLE calls (mine TEXT)")
    with pytest.raises(SQLAlchemyError), database.exclusive() as connection:
        migrate(connection)
    with database.snapshot() as connection:
        assert set(inspect(connection).get_table_names()) == {"calls"}
    database.close()
