"""One transaction: writes made one after the other, counted, and refused where a quota says so."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from runtime.store.changes import (
    Change,
    EndCall,
    PutCall,
    PutExecution,
    PutFile,
    PutResult,
    PutSession,
    PutValue,
    SuspendCall,
    UpdateExecution,
)
from runtime.store.connection import Connection
from runtime.store.errors import StoreConflictError
from runtime.store.ledger import Ledger
from runtime.store.makers import make
from runtime.store.plain_text import original, plain
from runtime.store.rows import Holding, Rows
from runtime.store.statement import Statement

# At a quota, a write that would begin something is refused; one that tells what has happened is not.
_BEGINS = (PutExecution, PutCall, PutFile, PutResult, PutValue, PutSession)
_HAPPENED = (EndCall, UpdateExecution, SuspendCall)

_HOLD = Statement.of(
    "INSERT INTO holdings (holder, tenant, bytes) VALUES (:holder, :tenant, :bytes)"
    " ON CONFLICT (holder) DO UPDATE SET bytes = holdings.bytes + excluded.bytes RETURNING 1"
)
_NOTHING_HELD = Statement.of("DELETE FROM holdings WHERE holder = :holder AND bytes <= 0")
_HOLD_MORE = Statement.of("UPDATE holdings SET bytes = bytes + :bytes WHERE holder = :holder RETURNING tenant")


@dataclass(slots=True)
class Transaction:
    """What a group of writes does. `counted`: bytes by tenant, as told to the ledger since it began."""

    connection: Connection
    ledger: Ledger
    counted: list[tuple[str, int]] = field(default_factory=list)

    def make(self, write: Sequence[Change]) -> None:
        """All changes of one write. Raises StoreConflictError, StoreQuotaError and the driver's errors."""
        rows = Rows(self.connection)
        for change in write:
            make(rows, change)
        tenants = [self._hold(holder, holding) for holder, holding in rows.holdings.items()]
        if any(isinstance(c, _BEGINS) for c in write) and not any(isinstance(c, _HAPPENED) for c in write):
            for tenant in tenants:
                self.ledger.check(tenant)

    def undo(self, mark: int = 0) -> None:
        """The ledger as it was when `counted` had `mark` entries."""
        for tenant, size in self.counted[mark:]:
            self.ledger.add(tenant, -size)
        del self.counted[mark:]

    def _hold(self, holder: str, holding: Holding) -> str:
        tenant = holding.tenant
        if tenant is not None:
            self.connection.run(_HOLD, (plain(holder), plain(tenant), holding.bytes))
            if holding.bytes < 0:
                self.connection.run(_NOTHING_HELD, (plain(holder),))
        else:
            rows = self.connection.run(_HOLD_MORE, (holding.bytes, plain(holder)))
            if not rows:
                raise StoreConflictError(f"the store does not have the execution {holder.partition(':')[2]!r}")
            tenant = original(rows[0][0])
        self.count(tenant, holding.bytes)
        return tenant

    def count(self, tenant: str, size: int) -> None:
        """A tenant has more bytes, or fewer."""
        self.ledger.add(tenant, size)
        self.counted.append((tenant, size))
