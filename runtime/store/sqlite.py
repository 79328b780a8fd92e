"""SQLite as a store's database: one file, in WAL mode, every commit synced."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection as Transaction
from sqlalchemy import Engine, QueuePool, create_engine

from runtime.store.connection import READERS, Connection, Fault
from runtime.store.statement import Statement

LOCK_WAIT_S: Final = 2.0
"""How long another process may hold the file's lock before a write fails."""
_FILE_MODE = 0o600
_PAGES_FREED = 2_000

# Only the writer checkpoints: two connections that checkpoint at once met a race in releases before 3.51.3.
_SETTINGS = ("PRAGMA synchronous = FULL", "PRAGMA temp_store = MEMORY", "PRAGMA cache_size = -8000")
_WRITER_SETTINGS = (
    "PRAGMA auto_vacuum = INCREMENTAL",
    "PRAGMA journal_mode = WAL",
    "PRAGMA journal_size_limit = 67108864",
    "PRAGMA wal_autocheckpoint = 1000",
)
_READER_SETTINGS = ("PRAGMA wal_autocheckpoint = 0",)

_REASONS = {
    sqlite3.SQLITE_FULL: "the disk, or what the store may occupy of it, is full; free space",
    sqlite3.SQLITE_BUSY: "another process has held the lock on the store's file for too long; end it",
    sqlite3.SQLITE_LOCKED: "the store's file is locked; end whatever else uses it",
    sqlite3.SQLITE_READONLY: "the store's file is read-only; check its owner, its mode and how its disk is mounted",
    sqlite3.SQLITE_CANTOPEN: "the store's file cannot be opened; check its directory, owner and mode",
    sqlite3.SQLITE_IOERR: "the disk fails to read or write the store's file; look at the system's log",
    sqlite3.SQLITE_CORRUPT: "the store's file is damaged; restore a back-up",
    sqlite3.SQLITE_NOTADB: "the store's file is not an SQLite database; restore a back-up",
    sqlite3.SQLITE_PERM: "the store's file may not be used; check its owner and mode",
    sqlite3.SQLITE_NOMEM: "there is no memory for the store",
}


class SqliteConnection:
    """The writer's own: see Connection."""

    def __init__(self, path: Path, lock_wait_s: float) -> None:
        self._connection = connect(path, (*_WRITER_SETTINGS, *_SETTINGS), lock_wait_s)

    def run(self, statement: Statement, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Rows that it gives back."""
        cursor = self._connection.execute(statement.question, values)
        return ((1,),) * cursor.rowcount if statement.counted else cursor.fetchall()

    def command(self, text: str) -> None:
        """A statement without parameters."""
        self._connection.execute(text).fetchall()

    def close(self) -> None:
        """Never fails."""
        try:
            self._connection.close()
        except sqlite3.Error:
            return


class SqliteDatabase:
    """The file at `path`, made with mode 0600 if it is not there: see Database."""

    begin = "BEGIN IMMEDIATE"

    def __init__(self, path: Path, *, lock_wait_s: float = LOCK_WAIT_S) -> None:
        self._path = path
        self._lock_wait_s = lock_wait_s
        self._claimed: int | None = None
        self.engine: Engine = create_engine(
            "sqlite://",
            creator=lambda: connect(path, (*_SETTINGS, *_READER_SETTINGS), lock_wait_s),
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=0,
        )

    def claim(self) -> bool:
        """By a lock on a file beside it: SQLite's own locks last for a transaction."""
        if self._claimed is None:
            descriptor = os.open(self._path.with_name(f"{self._path.name}.lock"), os.O_RDWR | os.O_CREAT, _FILE_MODE)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(descriptor)
                return False
            self._claimed = descriptor
        return True

    def connect(self) -> Connection:
        """The writer's connection. Raises sqlite3.Error, OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Only if it is new: closing a file drops every POSIX lock that this process has on it, SQLite's own included,
        # and another process may then take itself for the last one and remove the write-ahead log.
        with suppress(FileExistsError):
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, _FILE_MODE))
        return SqliteConnection(self._path, self._lock_wait_s)

    @contextmanager
    def exclusive(self) -> Iterator[Transaction]:
        """A transaction that no other writer runs beside."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql(self.begin)
            yield connection
            connection.commit()

    @contextmanager
    def snapshot(self) -> Iterator[Transaction]:
        """A transaction that only reads."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN")
            yield connection

    def fault(self, error: Exception, *, committing: bool) -> Fault:
        """By SQLite's own codes: https://www.sqlite.org/rescode.html."""
        if isinstance(error, OSError):
            return Fault(unavailable=True, reason=f"the store's file cannot be opened: {error.strerror}")
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if reason := _REASONS.get(code):
            return Fault(unavailable=True, reason=reason, maybe=committing and code == sqlite3.SQLITE_IOERR)
        return Fault(unavailable=False, reason=f"the store cannot keep this: {type(error).__name__}: {error}")

    def tidy(self, connection: Connection) -> None:
        """A bounded number of free pages back to the file system."""
        connection.command(f"PRAGMA incremental_vacuum({_PAGES_FREED})")

    def close(self) -> None:
        """Close the readers' connections, and let go of the claim."""
        self.engine.dispose()
        if self._claimed is not None:
            os.close(self._claimed)
            self._claimed = None


def connect(path: Path, settings: Sequence[str], lock_wait_s: float) -> sqlite3.Connection:
    """A connection in autocommit mode, to be used by any one thread at a time."""
    connection = sqlite3.connect(
        path, timeout=lock_wait_s, isolation_level=None, check_same_thread=False, cached_statements=200
    )
    try:
        for setting in settings:
            connection.execute(setting).fetchall()
    except BaseException:
        connection.close()
        raise
    return connection
