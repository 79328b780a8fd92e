"""Rows of one write: put in, changed under a condition, and counted."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from operator import attrgetter
from typing import Any, Final

from runtime.store.changes import Change
from runtime.store.connection import Connection
from runtime.store.errors import StoreConflictError
from runtime.store.plain_text import plain
from runtime.store.statement import Statement

ROW_BYTES: Final = 100
"""Counted for each row beside its texts: keys, numbers, index entries."""


@dataclass(slots=True)
class Holding:
    """Bytes more or fewer, under a holder. `tenant` None: the holder has to be there."""

    tenant: str | None
    bytes: int = 0


@dataclass(slots=True)
class Rows:
    """What the changes of one write do through a connection. Raises the driver's errors."""

    connection: Connection
    holdings: dict[str, Holding] = field(default_factory=dict)

    def insert(self, statement: Statement, change: Any, what: str) -> int:
        """Puts the change's `row`; its size. Raises StoreConflictError: `what` is there already."""
        values = _values(statement, change.row)
        if not self.connection.run(statement, values):
            raise StoreConflictError(f"there is {what} already", change=type(change).__name__)
        return size_of(values)

    def find(self, statement: Statement, *values: Any) -> Sequence[Sequence[Any]]:
        """The rows that came back."""
        return self.connection.run(statement, [plain(v) if isinstance(v, str) else v for v in values])

    def run(self, statement: Statement, *values: Any) -> bool:
        """Whether a row came back."""
        return bool(self.find(statement, *values))

    def guarded(self, statement: Statement, change: Change, problem: str, *values: Any) -> None:
        """A statement that is a conflict unless it gives a row back. Raises StoreConflictError."""
        if not self.run(statement, *values):
            raise StoreConflictError(problem, change=type(change).__name__)

    def hold(self, holder: str, size: int, tenant: str | None = None) -> None:
        """More bytes (or fewer) for a holder, which is made if `tenant` is given."""
        holding = self.holdings.get(holder)
        if holding is None:
            holding = self.holdings[holder] = Holding(tenant)
        holding.bytes += size


def size_of(values: Iterable[Any]) -> int:
    """Bytes that a row is counted with."""
    size = ROW_BYTES
    for value in values:
        if isinstance(value, str):
            size += len(value) if value.isascii() else len(value.encode(errors="surrogatepass"))
        elif isinstance(value, bytes):
            size += len(value)
    return size


def weight(change: Change) -> int:
    """Bytes that a change is counted with while it waits."""
    row: Any = getattr(change, "row", change)
    return size_of(getattr(row, f.name) for f in fields(row))


@cache
def _getter(statement: Statement) -> Callable[[Any], tuple[Any, ...]]:
    return attrgetter(*statement.names)


def _values(statement: Statement, record: Any) -> tuple[Any, ...]:
    return tuple(plain(v) if isinstance(v, str) else v for v in _getter(statement)(record))
