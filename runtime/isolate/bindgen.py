"""wasm-bindgen's table of JavaScript values, as far as the TypeScript parser asks for it, and bounded.

Modules made by wasm-bindgen hold JavaScript values by their index in a table of the host's. A module that asks for
more than is here, or for what makes no sense, is ended by a trap.
"""

import re
from collections.abc import Callable
from typing import Any

import wasmtime

from runtime.isolate.native import CoreFunction, CoreMemory, define_values

UNDEFINED = object()
_RESERVED = 128
_CONSTANTS = (UNDEFINED, None, True, False)
_FIRST_FREE = _RESERVED + len(_CONSTANTS)
FIRST_UNDEFINED = _RESERVED
_MOST_VALUES = 1_024
_HASH = re.compile(r"_[0-9a-f]{16}$")

type Value = object


class BadValueError(Exception):
    """The module asked for a value that is not there, or for too many."""


class Values:
    """The values one instance holds; it keeps some of them from call to call."""

    text_left: int = 0
    """How many bytes of text the instance may still create."""

    def __init__(self, memory: CoreMemory, allocate: CoreFunction) -> None:
        self._memory = memory
        self._allocate = allocate
        self._values: list[Value] = [UNDEFINED] * _RESERVED + list(_CONSTANTS)
        self._free: list[int] = []

    def add(self, value: Value) -> int:
        """Keep a value; its index."""
        if self._free:
            index = self._free.pop()
            self._values[index] = value
            return index
        if len(self._values) >= _MOST_VALUES:
            raise BadValueError("too many values")
        self._values.append(value)
        return len(self._values) - 1

    def get(self, index: int) -> Value:
        """The value at an index."""
        if not 0 <= index < len(self._values):
            raise BadValueError("no such value")
        return self._values[index]

    def take(self, index: int) -> Value:
        """The value at an index, which becomes free."""
        value = self.get(index)
        if index >= _FIRST_FREE and index not in self._free:
            self._values[index] = UNDEFINED
            self._free.append(index)
        return value

    # What the module imports; `_NAMES` has the names it imports it by.

    def _object_drop_ref(self, index: int) -> None:
        self.take(index)

    def _object_clone_ref(self, index: int) -> int:
        return self.add(self.get(index))

    def _string_new(self, pointer: int, length: int) -> int:
        return self.add(self._read(pointer, length))

    def _error_new(self, pointer: int, length: int) -> int:
        return self.add({"message": self._read(pointer, length)})

    def _read(self, pointer: int, length: int) -> str:
        self.text_left -= max(0, length)
        if self.text_left < 0:
            raise BadValueError("too much text")
        return self._memory.read(pointer, length).decode(errors="replace")

    def _number_new(self, number: float) -> int:
        return self.add(number)

    def _new_object(self) -> int:
        return self.add({})

    def _set(self, target: int, key: int, value: int) -> None:
        members = self.get(target)
        if not isinstance(members, dict):
            raise BadValueError("not an object")
        members[self.take(key)] = self.take(value)

    def _string_get(self, result: int, index: int) -> None:
        value = self.get(index)
        pointer = length = 0
        if isinstance(value, str):
            data = value.encode(errors="replace")
            pointer, length = self._allocate.call32(len(data), 1), len(data)
            self._memory.write(pointer, data)
        self._memory.write(result, pointer.to_bytes(4, "little") + length.to_bytes(4, "little"))

    def _is_string(self, index: int) -> int:
        return isinstance(self.get(index), str)

    def _is_undefined(self, index: int) -> int:
        return self.get(index) is UNDEFINED

    def _is_falsy(self, index: int) -> int:
        value = self.get(index)
        return value is UNDEFINED or not value


_NAMES: dict[str, str] = {
    "__wbindgen_object_drop_ref": "_object_drop_ref",
    "__wbindgen_object_clone_ref": "_object_clone_ref",
    "__wbindgen_string_new": "_string_new",
    "__wbindgen_error_new": "_error_new",
    "__wbindgen_number_new": "_number_new",
    "__wbindgen_string_get": "_string_get",
    "__wbindgen_is_string": "_is_string",
    "__wbindgen_is_undefined": "_is_undefined",
    "__wbindgen_is_falsy": "_is_falsy",
    "__wbg_new": "_new_object",
    "__wbg_set": "_set",
}
# Several imports share a name but for the hash; these are told by their shapes. Shapes: parameters, result.
_SHAPES: dict[str, tuple[int, int]] = {"__wbg_new": (0, 1), "__wbg_set": (3, 0)}


def link(linker: wasmtime.Linker, module: wasmtime.Module, current: Callable[[], Values]) -> list[object]:
    """Define what `module` imports on the values of the running instance. Keep what is returned alive."""
    kept = []
    for each in module.imports:
        kind, name = each.type, each.name or ""
        base = _HASH.sub("", name)
        if base not in _NAMES or not isinstance(kind, wasmtime.FuncType):
            continue
        if _SHAPES.get(base, (len(kind.params), len(kind.results))) != (len(kind.params), len(kind.results)):
            continue
        kept.append(define_values(linker, each.module, name, kind, _method(current, _NAMES[base])))
    linker.define_unknown_imports_as_traps(module)
    return kept


def _method(current: Callable[[], Values], name: str) -> Callable[..., Any]:
    def call(*arguments: float) -> Any:
        return getattr(current(), name)(*arguments)

    return call
