"""Back-ups: a store's rows, as they were at one moment, in an SQLite file; and back into any store.

The file has the schema of the store, whatever database that is in, so that one kept in SQLite can go on in PostgreSQL.
"""

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Boolean, Connection, Row, Table, delete, func, insert, select, tuple_
from sqlalchemy.exc import DatabaseError

from runtime.store import schema
from runtime.store.connection import Database
from runtime.store.errors import StoreError, StoreVersionError
from runtime.store.migrate import migrate, version
from runtime.store.sqlite import SqliteDatabase

type Counts = dict[str, int]

_TABLES: Final = tuple(table for table in schema.METADATA.sorted_tables if table is not schema.HEARTBEAT)
_ROWS: Final = 100
_LARGE: Final = {"executions": 20, "calls": 20, "results": 20, "files": 2}
"""Rows held at once, where one may have megabytes."""


def back_up(database: Database, path: Path) -> Counts:
    """Into the new file `path`, mode 0600, whole or not at all; rows by table.

    Raises StoreError and the drivers' errors.
    """
    if path.exists():
        raise StoreError(f"{path} is there already; a back-up takes the place of nothing")
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with _file(draft) as target, database.snapshot() as source, target.exclusive() as into:
            _check(source)
            migrate(into)
            counts = {table.name: _copy(source, into, table) for table in _TABLES}
        _sync(draft)
        path.hardlink_to(draft)
        _sync(path.parent)
    finally:
        for left in draft.parent.glob(f"{draft.name}*"):
            left.unlink()
    return counts


def restore(path: Path, database: Database, *, replace: bool = False) -> Counts:
    """From the file `path`, in one transaction; rows by table. Raises StoreError and the drivers' errors.

    A store that has executions keeps them and the back-up is refused, unless `replace`: then what it had is gone.
    """
    if not path.is_file():
        raise StoreError(f"there is no back-up {path}")
    with _file(path) as held, held.snapshot() as source, database.exclusive() as into:
        _check(source)
        migrate(into)
        if not replace and into.execute(select(func.count()).select_from(schema.EXECUTIONS)).scalar():
            raise StoreError("the store has executions already; --replace removes all that it has")
        for table in _TABLES:
            into.execute(delete(table))
        return {table.name: _copy(source, into, table) for table in _TABLES}


def _check(source: Connection) -> None:
    try:
        found = version(source)
    except DatabaseError as error:
        raise StoreError(f"this is not a store that can be read: {error.orig}") from None
    if found != schema.VERSION:
        what = f"the schema of what is to be copied is {found or 'none of Lockgate'}, not {schema.VERSION}"
        raise StoreVersionError(f"{what}: `lockgate store migrate`, with store.path naming it, brings it up to date")


@contextmanager
def _file(path: Path) -> Iterator[SqliteDatabase]:
    """An SQLite file, made with mode 0600 if it is not there."""
    database = SqliteDatabase(path)
    database.connect().close()
    with closing(database):
        yield database


def _copy(source: Connection, into: Connection, table: Table) -> int:
    """All rows, in the order of their key; how many."""
    keys = tuple_(*table.primary_key.columns)
    page = select(table).order_by(*table.primary_key.columns).limit(_LARGE.get(table.name, _ROWS))
    names = [column.name for column in table.primary_key.columns]
    last: Row[Any] | None = None
    copied = 0
    while True:
        rows = source.execute(page if last is None else page.where(keys > _key(last, names))).all()
        if not rows:
            return copied
        into.execute(insert(table).values([_plain(table, row) for row in rows]))
        copied += len(rows)
        last = rows[-1]


def _key(row: Row[Any], names: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row._mapping[name] for name in names)  # noqa: SLF001 - SQLAlchemy's own way


def _plain(table: Table, row: Row[Any]) -> dict[str, Any]:
    """SQLite's flags are numbers, PostgreSQL's are not."""
    flags = {column.name for column in table.columns if isinstance(column.type, Boolean)}
    return {name: bool(value) if name in flags else value for name, value in row._mapping.items()}  # noqa: SLF001


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    with suppress(OSError):  # some file systems do not sync directories
        os.fsync(descriptor)
    os.close(descriptor)
