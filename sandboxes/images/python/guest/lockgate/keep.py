"""`emit`, `store` and `results`: what a program leaves for its caller and for the programs after it."""

from collections.abc import Callable
from typing import Any

from lockgate.calls import Call, ToolError, begin
from lockgate.encode import to_base64
from lockgate.host import TOOL


def emit(name: str, data: str | bytes | bytearray | memoryview, type: str | None = None) -> Call:  # noqa: A002 (the word programs use)
    """Give a file to the caller: its name, text or bytes, and its media type."""
    if isinstance(data, str):
        return _ask("emit", {"name": name, "text": data, "type": type or "text/plain"})
    if not isinstance(data, (bytes, bytearray, memoryview)):
        raise TypeError(
            f"emit(name, data, type): data is bytes or str, not {data.__class__.__name__}; use json.dumps(...)"
        )
    kind = type or "application/octet-stream"
    return _ask("emit", {"name": name, "base64": to_base64(bytes(data)), "type": kind})


class Store:
    """`store`: values that programs of one session share. Every method is awaited."""

    def get(self, key: str, default: Any = None) -> Call:
        """The value of a key, or `default`."""
        return _ask("store_get", {"key": key}, lambda answer: answer["value"] if answer["found"] else default)

    def set(self, key: str, value: Any) -> Call:
        """Keep a value: anything that JSON can hold."""
        return _ask("store_set", {"key": key, "value": value})

    def delete(self, key: str) -> Call:
        """Forget a key; whether it was there."""
        return _ask("store_delete", {"key": key})

    def keys(self) -> Call:
        """The keys, in the order in which they were set."""
        return _ask("store_keys", {})

    def __repr__(self) -> str:
        return "<store: await store.get(key), await store.set(key, value)>"


class Results:
    """`results`: what earlier programs returned and was too large to be told whole."""

    def __getitem__(self, handle: str) -> Call:
        return self.get(handle)

    def get(self, handle: str, path: str = "", offset: int = 0, limit: int = 0) -> Call:
        """The result, or the part at a JSON Pointer, or a range of its items, members or characters."""
        return _ask("result", {"handle": handle, "path": path, "offset": offset, "limit": limit})

    __iter__ = None

    def __repr__(self) -> str:
        return "<results: await results[handle]>"


def _ask(name: str, arguments: dict[str, Any], result: Callable[[Any], Any] = lambda value: value) -> Call:
    return begin(TOOL, f"lockgate.{name}", arguments, result, ToolError)


store = Store()
results = Results()
