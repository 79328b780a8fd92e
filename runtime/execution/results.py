"""Results that were too large to be told whole, kept for a while under handles."""

import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from runtime.execution.lagging import Lagging
from runtime.store.changes import DeleteResult, PutResult
from runtime.store.records import ResultRow
from runtime.store.store import Store
from sandboxes.kept import KeptResults

PREFIX: Final = "res_"
_MOST_READ: Final = 100_000


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A result's JSON and until when it is kept, Unix seconds."""

    text: str
    expires_at: float


class Results(Protocol):
    """Where results are kept. A tenant's are nobody else's."""

    async def ready(self) -> None:
        """To be awaited before `get`: what was kept before a restart is there. Raises StoreUnavailableError."""

    def keep(self, tenant: str, text: str) -> tuple[str, float]:
        """Keep one: its handle and when it expires. An empty handle: it is larger than may be kept."""
        ...

    def get(self, tenant: str, handle: str) -> Kept | None:
        """One that is kept. None for an unknown, forgotten, or another tenant's handle."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Entry:
    tenant: str
    text: str
    size: int
    expires_at: float


class MemoryResults:
    """Results in memory; the oldest go when a bound is reached. With a store they outlive the process."""

    def __init__(
        self,
        bounds: KeptResults | None = None,
        *,
        clock: Callable[[], float] = time.time,
        store: Store | None = None,
    ) -> None:
        self._record = Lagging(store, self._load)
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._bounds = bounds or KeptResults()
        self._clock = clock

    async def ready(self) -> None:  # noqa: D102 - told by Results, as the next
        await self._record.ready()

    async def _load(self, store: Store) -> None:
        """The newest that there is room for, before what was kept since the start."""
        found: list[tuple[str, _Entry]] = []
        for handle in await store.result_handles(_MOST_READ):
            row = await store.result(handle) if handle not in self._entries else None
            if row is None or row.expires_ns <= self._clock() * 1e9:
                continue
            entry = _Entry(tenant=row.tenant, text=row.json, size=_size(row.json), expires_at=row.expires_ns / 1e9)
            if self._has_room(row.tenant, entry.size):
                found.append((handle, entry))
                self._count(entry)
        entries = [*found, *self._entries.items()]
        self._entries = OrderedDict(sorted(entries, key=lambda each: each[1].expires_at))

    def _has_room(self, tenant: str, size: int) -> bool:
        most = self._bounds
        return (
            self._counts[tenant] < most.per_owner
            and self._bytes[tenant] + size <= most.owner_bytes
            and self._bytes.total() + size <= most.bytes
        )

    def _count(self, entry: _Entry) -> None:
        self._counts[entry.tenant] += 1
        self._bytes[entry.tenant] += entry.size

    def keep(self, tenant: str, text: str) -> tuple[str, float]:  # noqa: D102
        now, most = self._clock(), self._bounds
        expires_at = now + most.expiry_s
        size = _size(text)
        if not most.per_owner or size > min(most.owner_bytes, most.bytes):
            return "", expires_at
        self._forget_expired(now)
        while self._counts[tenant] >= most.per_owner or self._bytes[tenant] + size > most.owner_bytes:
            self._forget(next(handle for handle, entry in self._entries.items() if entry.tenant == tenant))
        while self._bytes.total() + size > most.bytes:
            self._forget(next(iter(self._entries)))
        handle = f"{PREFIX}{secrets.token_hex(16)}"
        entry = self._entries[handle] = _Entry(tenant=tenant, text=text, size=size, expires_at=expires_at)
        self._count(entry)
        row = ResultRow(handle=handle, tenant=tenant, json=text, expires_ns=int(expires_at * 1e9))
        self._record.tell(PutResult(row))
        return handle, expires_at

    def get(self, tenant: str, handle: str) -> Kept | None:  # noqa: D102
        self._forget_expired(self._clock())
        entry = self._entries.get(handle)
        if entry is None or entry.tenant != tenant:
            return None
        return Kept(text=entry.text, expires_at=entry.expires_at)

    def _forget_expired(self, now: float) -> None:
        # They were kept in the order in which they expire.
        while self._entries and next(iter(self._entries.values())).expires_at <= now:
            self._forget(next(iter(self._entries)))

    def _forget(self, handle: str) -> None:
        entry = self._entries.pop(handle)
        self._record.tell(DeleteResult(tenant=entry.tenant, handle=handle))
        self._counts[entry.tenant] -= 1
        self._bytes[entry.tenant] -= entry.size
        if not self._counts[entry.tenant]:
            del self._counts[entry.tenant], self._bytes[entry.tenant]


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))
