"""The small key-value store that programs of one session share: `store.get` and `store.set`."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from runtime.execution.lagging import Lagging
from runtime.store.changes import DeleteValue, PutValue
from runtime.store.records import ValueRow
from runtime.store.store import Store
from sandboxes.kept import KeptStores
from sandboxes.limits import Limits

MOST_KEY: Final = 200
"""Characters of a key."""


class StoreBoundError(ValueError):
    """A bound of the stores is reached; `limit` and `value` name it."""

    def __init__(self, limit: str, value: int, message: str) -> None:
        super().__init__(message)
        self.limit = limit
        self.value = value


@dataclass(kw_only=True, slots=True)
class _Store:
    used: float
    size: int = 0
    values: dict[str, str] = field(default_factory=dict)


class SessionStores:
    """Stores by tenant and session, in memory, the least recently used first. Values are JSON texts.

    With a store of the service's they outlive the process: `ready` is awaited before anything else.
    """

    def __init__(
        self,
        bounds: KeptStores | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        store: Store | None = None,
    ) -> None:
        self._record = Lagging(store, self._load)
        self._stores: OrderedDict[tuple[str, str], _Store] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        self._bounds = bounds or KeptStores()
        self._clock = clock

    async def ready(self) -> None:
        """What was set before a restart is there, and counts as used now. Raises StoreUnavailableError."""
        await self._record.ready()

    async def _load(self, store: Store) -> None:
        """Those that were written to last, as far as there is room."""
        found: list[tuple[tuple[str, str], _Store]] = []
        for tenant, session in await store.value_sessions(self._bounds.count):
            values = {row.key: row.value for row in await store.values(tenant, session)}
            size = sum(_size(key, value) for key, value in values.items())
            if values and self._has_room(tenant, size):
                found.append(((tenant, session), _Store(used=self._clock(), size=size, values=values)))
                self._counts[tenant] += 1
                self._bytes[tenant] += size
        self._stores = OrderedDict(reversed(found))

    def _has_room(self, tenant: str, size: int) -> bool:
        most = self._bounds
        return (
            self._counts[tenant] < most.per_owner
            and self._bytes[tenant] + size <= most.owner_bytes
            and self._bytes.total() + size <= most.bytes
        )

    def get(self, tenant: str, session: str, key: str) -> str | None:
        """The value of a key. None if there is none."""
        store = self._find(tenant, session)
        return None if store is None else store.values.get(key)

    def keys(self, tenant: str, session: str) -> list[str]:
        """The keys, in the order in which they were first set."""
        store = self._find(tenant, session)
        return [] if store is None else list(store.values)

    def set(self, tenant: str, session: str, key: str, value: str, limits: Limits) -> None:
        """Set a key, within `limits` of the program that asks. Raises StoreBoundError, and then nothing has changed."""
        if not key or len(key) > MOST_KEY:
            raise StoreBoundError("store_key", MOST_KEY, f"a key has 1 to {MOST_KEY} characters, not {len(key)}")
        size = _size(key, value)
        if size > limits.store_value_bytes:
            raise _over("store_value_bytes", limits.store_value_bytes, f"bytes of a key and its value, not {size}")
        store = self._find(tenant, session)
        before = store.values.get(key) if store is not None else None
        keys, held = (0, 0) if store is None else (len(store.values), store.size)
        more = size - (0 if before is None else _size(key, before))
        if before is None and keys >= limits.store_keys:
            raise _over("store_keys", limits.store_keys, "keys in one store; delete some")
        if held + more > limits.store_bytes and more > 0:
            raise _over("store_bytes", limits.store_bytes, "bytes in one store; delete some keys")
        self._check_room(tenant, more)
        store = store or self._new(tenant, session)
        store.values[key] = value
        store.size += more
        self._bytes[tenant] += more
        row = ValueRow(tenant=tenant, session=session, key=key, value=value, updated_ns=time.time_ns())
        self._record.tell(PutValue(row))

    def _check_room(self, tenant: str, more: int) -> None:
        most = self._bounds
        if more > 0 and self._bytes[tenant] + more > most.owner_bytes:
            raise _over("owner_stores_bytes", most.owner_bytes, "bytes in the stores of one owner; delete some keys")
        if more > 0 and self._bytes.total() + more > most.bytes:
            raise _over("all_stores_bytes", most.bytes, "bytes in the stores of all sessions; try again later")

    def delete(self, tenant: str, session: str, key: str) -> bool:
        """Forget a key; whether it was there."""
        store = self._find(tenant, session)
        value = None if store is None else store.values.pop(key, None)
        if store is None or value is None:
            return False
        size = _size(key, value)
        store.size -= size
        self._bytes[tenant] -= size
        self._record.tell(DeleteValue(tenant=tenant, session=session, key=key))
        return True

    def deletions(self, tenant: str, session: str) -> list[DeleteValue]:
        """What makes all of a store durably forgotten, once `forget` follows."""
        store = self._stores.get((tenant, session))
        return [] if store is None else [DeleteValue(tenant=tenant, session=session, key=key) for key in store.values]

    def forget(self, tenant: str, session: str) -> None:
        """Forget all of a store."""
        self._record.tell(*self.deletions(tenant, session))
        if (forgotten := self._stores.pop((tenant, session), None)) is None:
            return
        self._bytes[tenant] -= forgotten.size
        self._counts[tenant] -= 1
        if not self._counts[tenant]:
            del self._counts[tenant], self._bytes[tenant]

    def _find(self, tenant: str, session: str) -> _Store | None:
        now = self._clock()
        while self._stores and next(iter(self._stores.values())).used + self._bounds.idle_s <= now:
            self.forget(*next(iter(self._stores)))
        store = self._stores.get((tenant, session))
        if store is not None:
            store.used = now
            self._stores.move_to_end((tenant, session))
        return store

    def _new(self, tenant: str, session: str) -> _Store:
        most = self._bounds
        if self._counts[tenant] >= most.per_owner:
            what = f"sessions of one owner with a store; one that is not used is forgotten after {most.idle_s} seconds"
            raise _over("stores", most.per_owner, what)
        if len(self._stores) >= most.count:
            raise _over("all_stores", most.count, "sessions with a store; try again later")
        self._counts[tenant] += 1
        store = self._stores[tenant, session] = _Store(used=self._clock())
        return store


def _size(key: str, value: str) -> int:
    return len(key.encode(errors="replace")) + len(value.encode(errors="replace"))


def _over(limit: str, value: int, what: str) -> StoreBoundError:
    return StoreBoundError(limit, value, f"limit {limit} reached: at most {value} {what}")
