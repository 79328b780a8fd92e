"""Results that were too large to be told whole, kept for a while under handles."""

import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from sandboxes.kept import KeptResults

PREFIX: Final = "res_"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """A result's JSON and until when it is kept, Unix seconds."""

    text: str
    expires_at: float


class Results(Protocol):
    """Where results are kept. A tenant's are nobody else's."""

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
    """Results in memory; the oldest go when a bound is reached."""

    def __init__(self, bounds: KeptResults | None = None, *, clock: Callable[[], float] = time.time) -> None:
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._bounds = bounds or KeptResults()
        self._clock = clock

    def keep(self, tenant: str, text: str) -> tuple[str, float]:  # noqa: D102 - told by Results, as the next
        now, most = self._clock(), self._bounds
        expires_at = now + most.expiry_s
        size = len(text) if text.isascii() else len(text.encode(errors="replace"))
        if not most.per_owner or size > min(most.owner_bytes, most.bytes):
            return "", expires_at
        self._forget_expired(now)
        while self._counts[tenant] >= most.per_owner or self._bytes[tenant] + size > most.owner_bytes:
            self._forget(next(handle for handle, entry in self._entries.items() if entry.tenant == tenant))
        while self._bytes.total() + size > most.bytes:
            self._forget(next(iter(self._entries)))
        handle = f"{PREFIX}{secrets.token_hex(16)}"
        self._entries[handle] = _Entry(tenant=tenant, text=text, size=size, expires_at=expires_at)
        self._counts[tenant] += 1
        self._bytes[tenant] += size
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
        self._counts[entry.tenant] -= 1
        self._bytes[entry.tenant] -= entry.size
        if not self._counts[entry.tenant]:
            del self._counts[entry.tenant], self._bytes[entry.tenant]
