"""The dictionary `requests` keeps headers in."""

from collections.abc import Iterator, MutableMapping
from typing import Any


class CaseInsensitiveDict(MutableMapping):
    """A dictionary by lower-case key that remembers the case last given."""

    def __init__(self, data: Any = None, **items: Any) -> None:
        self._store: dict[str, tuple[str, Any]] = {}
        self.update(data or {}, **items)

    def __setitem__(self, key: str, value: Any) -> None:
        self._store[key.lower()] = (key, value)

    def __getitem__(self, key: str) -> Any:
        return self._store[key.lower()][1]

    def __delitem__(self, key: str) -> None:
        del self._store[key.lower()]

    def __iter__(self) -> Iterator[str]:
        return (key for key, _ in self._store.values())

    def __len__(self) -> int:
        return len(self._store)

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def copy(self) -> "CaseInsensitiveDict":
        """Copy it."""
        return CaseInsensitiveDict(dict(self.items()))
