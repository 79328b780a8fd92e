"""The small key-value store that programs of one session share: `store.get` and `store.set`."""

import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

IDLE_S: Final = 3_600.0
"""A store nobody has used for so long is forgotten."""
MOST_KEYS: Final = 256
MOST_KEY: Final = 200
MOST_VALUE_BYTES: Final = 64 << 10
MOST_STORE_BYTES: Final = 1 << 20
MOST_STORES_EACH: Final = 100
MOST_STORES: Final = 2_000
MOST_BYTES: Final = 256 << 20


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
    """Stores by tenant and session, in memory, the least recently used first. Values are JSON texts."""

    def __init__(
        self,
        *,
        idle_s: float = IDLE_S,
        most_bytes: int = MOST_BYTES,
        most_stores_each: int = MOST_STORES_EACH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stores: OrderedDict[tuple[str, str], _Store] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._bytes = 0
        self._idle_s = idle_s
        self._most_bytes = most_bytes
        self._most_stores_each = most_stores_each
        self._clock = clock

    def get(self, tenant: str, session: str, key: str) -> str | None:
        """The value of a key. None if there is none."""
        store = self._find(tenant, session)
        return None if store is None else store.values.get(key)

    def keys(self, tenant: str, session: str) -> list[str]:
        """The keys, in the order in which they were first set."""
        store = self._find(tenant, session)
        return [] if store is None else list(store.values)

    def set(self, tenant: str, session: str, key: str, value: str) -> None:
        """Set a key. Raises StoreBoundError, and then nothing has changed."""
        size = len(key.encode(errors="replace")) + len(value.encode(errors="replace"))
        if not key or len(key) > MOST_KEY:
            raise StoreBoundError("store_key", MOST_KEY, f"a key has 1 to {MOST_KEY} characters, not {len(key)}")
        if size > MOST_VALUE_BYTES:
            raise _over("store_value_bytes", MOST_VALUE_BYTES, f"bytes of a key and its value, not {size}")
        store = self._find(tenant, session)
        before = store.values.get(key) if store is not None else None
        held = 0 if before is None else len(key.encode(errors="replace")) + len(before.encode(errors="replace"))
        if store is None:
            store = self._new(tenant, session)
        if before is None and len(store.values) >= MOST_KEYS:
            raise _over("store_keys", MOST_KEYS, "keys in one store; delete some")
        if store.size + size - held > MOST_STORE_BYTES:
            raise _over("store_bytes", MOST_STORE_BYTES, "bytes in one store; delete some keys")
        if self._bytes + size - held > self._most_bytes:
            raise _over("all_stores_bytes", self._most_bytes, "bytes in the stores of all sessions; try again later")
        store.values[key] = value
        store.size += size - held
        self._bytes += size - held

    def delete(self, tenant: str, session: str, key: str) -> bool:
        """Forget a key; whether it was there."""
        store = self._find(tenant, session)
        value = None if store is None else store.values.pop(key, None)
        if store is None or value is None:
            return False
        size = len(key.encode(errors="replace")) + len(value.encode(errors="replace"))
        store.size -= size
        self._bytes -= size
        return True

    def _find(self, tenant: str, session: str) -> _Store | None:
        now = self._clock()
        while self._stores and next(iter(self._stores.values())).used + self._idle_s <= now:
            (owner, _), forgotten = self._stores.popitem(last=False)
            self._bytes -= forgotten.size
            self._counts[owner] -= 1
            if not self._counts[owner]:
                del self._counts[owner]
        store = self._stores.get((tenant, session))
        if store is not None:
            store.used = now
            self._stores.move_to_end((tenant, session))
        return store

    def _new(self, tenant: str, session: str) -> _Store:
        if self._counts[tenant] >= self._most_stores_each:
            what = "sessions of one owner with a store; one that is not used is forgotten after an hour"
            raise _over("stores", self._most_stores_each, what)
        if len(self._stores) >= MOST_STORES:
            raise _over("all_stores", MOST_STORES, "sessions with a store; try again later")
        self._counts[tenant] += 1
        store = self._stores[tenant, session] = _Store(used=self._clock())
        return store


def _over(limit: str, value: int, what: str) -> StoreBoundError:
    return StoreBoundError(limit, value, f"limit {limit} reached: at most {value} {what}")
