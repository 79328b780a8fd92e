"""What the writer needs of a database: one connection, and what its errors mean."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from sqlalchemy import Connection as Transaction
from sqlalchemy import Engine

from runtime.store.statement import Statement

READERS: Final = 4
"""Connections, and threads, that read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What a driver's error means, in words without values of rows.

    `unavailable`: of the whole store, not of one write. `maybe`: as in StoreUnavailableError.
    """

    unavailable: bool
    reason: str
    maybe: bool = False


class Connection(Protocol):
    """The writer's own, used by its thread only. Raises the driver's errors."""

    def run(self, statement: Statement, values: Sequence[Any]) -> Sequence[Sequence[Any]]:
        """Rows that it gives back. `values` are in the order of the statement's names."""

    def command(self, text: str) -> None:
        """A statement without parameters, as COMMIT is."""

    def close(self) -> None:
        """Never fails."""


class Database(Protocol):
    """Where connections come from."""

    @property
    def begin(self) -> str:
        """What begins a transaction that writes."""

    @property
    def engine(self) -> Engine:
        """For reads: each statement sees what was committed before it."""

    def claim(self) -> bool:
        """Whether the lock is this process's now, until it closes or ends; others may use the database beside it."""

    def connect(self) -> Connection:
        """The writer's connection. Raises the driver's errors."""

    def exclusive(self) -> AbstractContextManager[Transaction]:
        """A transaction for migrations, committed at its end; one at a time, whoever else has the database open."""

    def snapshot(self) -> AbstractContextManager[Transaction]:
        """A transaction that only reads, and sees the database as it was at its beginning."""

    def fault(self, error: Exception, *, committing: bool) -> Fault:
        """What the driver's error means. `committing`: it came of a COMMIT."""

    def tidy(self, connection: Connection) -> None:
        """Give space back after rows were removed; within a transaction, and short."""

    def close(self) -> None:
        """Close the engine's connections."""
