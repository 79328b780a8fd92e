"""Bytes kept by tenant and in all, beside the quotas on them."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from runtime.store.errors import StoreQuotaError


@dataclass(frozen=True, kw_only=True, slots=True)
class Quotas:
    """In bytes of what is put in, before the database's own; 0 for none."""

    tenant_bytes: int = 0
    bytes: int = 0


class Ledger:
    """Counts in memory what the store has in its holdings. Used by the writer's thread; others may read."""

    def __init__(self, quotas: Quotas) -> None:
        self.quotas = quotas
        self._tenants: Counter[str] = Counter()
        self._all = 0

    def load(self, sums: Iterable[tuple[str, int]]) -> None:
        """From the store: bytes of each tenant."""
        self._tenants = Counter(dict(sums))
        self._all = self._tenants.total()

    def add(self, tenant: str, size: int) -> None:
        """More bytes, or fewer."""
        self._all += size
        self._tenants[tenant] += size
        if self._tenants[tenant] <= 0:
            del self._tenants[tenant]

    def of(self, tenant: str | None = None) -> int:
        """Bytes of one tenant, or of all."""
        return self._all if tenant is None else self._tenants[tenant]

    def check(self, tenant: str) -> None:
        """Raises StoreQuotaError if a tenant, or all together, are over their quota."""
        if 0 < self.quotas.bytes < self._all:
            message = f"quota store.quotas.bytes reached: {self.quotas.bytes} bytes for all tenants; {_WHAT_TO_DO}"
            raise StoreQuotaError(message, quota="bytes", value=self.quotas.bytes)
        if 0 < self.quotas.tenant_bytes < self._tenants[tenant]:
            message = f"quota store.quotas.tenant_bytes reached: {self.quotas.tenant_bytes} bytes; {_WHAT_TO_DO}"
            raise StoreQuotaError(message, quota="tenant_bytes", value=self.quotas.tenant_bytes)


_WHAT_TO_DO = "wait until retention has removed ended executions, or ask the operator to raise it"
