"""A WebAssembly component given one more export: the size of its memory, told by a module of its own.

No program in the component reaches that module: what it says is exact, whatever was done to the memory. Its sections
are appended, so what is there already is only counted (component-model, Binary.md).
"""

from collections import Counter
from collections.abc import Callable

import wasmtime

from sandboxes.images.wasm_module import NotSupportedError, Section, read_sections, read_unsigned, unsigned

MEMORY_PAGES = "memory-pages"
"""The export's name: `func() -> u32`, pages of 64 KiB."""

_HEADER = b"\0asm\x0d\0\1\0"
_CORE_MODULE, _CORE_INSTANCE, _ALIAS, _TYPE, _CANON, _IMPORT, _EXPORT = 1, 2, 6, 7, 8, 10, 11
_NESTED_COMPONENT, _INSTANCE = 4, 5
_FUNC, _MEMORY = "core func", "core memory"
_CORE_SORTS = {0: _FUNC, 1: "core table", 2: _MEMORY, 3: "core global", 0x10: "core type", 0x11: "core module"}
_SORTS = {1: "func", 2: "value", 3: "type", 4: "component", 5: "instance"}
_MODULE = """(module (import "m" "memory" (memory 0))
  (func (export "size") (result i32) memory.size))"""


def with_memory_size(wasm: bytes) -> bytes:
    """The component with the export `MEMORY_PAGES`. Raises NotSupportedError for a shape this was not made for."""
    if not wasm.startswith(_HEADER):
        raise NotSupportedError("not a component")
    counts: Counter[str] = Counter()
    for section in read_sections(wasm):
        _count(section, counts)
    if counts[_MEMORY] == 0:
        raise NotSupportedError("the component aliases no memory")
    return wasm + b"".join(bytes([s.id]) + unsigned(len(s.body)) + s.body for s in _appended(counts))


def _appended(counts: Counter[str]) -> list[Section]:
    given, measuring = unsigned(counts["core instance"]), unsigned(counts["core instance"] + 1)
    memory = b"\x01\x01" + _name("memory") + b"\x02" + unsigned(0)
    instance = b"\x00" + unsigned(counts["core module"]) + b"\x01" + _name("m") + b"\x12" + given
    lift = b"\x00\x00" + unsigned(counts[_FUNC]) + b"\x00" + unsigned(counts["type"])
    return [
        Section(id=_CORE_MODULE, body=bytes(wasmtime.wat2wasm(_MODULE))),
        Section(id=_CORE_INSTANCE, body=b"\x02" + memory + instance),
        Section(id=_ALIAS, body=b"\x01\x00\x00\x01" + measuring + _name("size")),
        Section(id=_TYPE, body=b"\x01\x40\x00\x00\x79"),
        Section(id=_CANON, body=b"\x01" + lift),
        Section(id=_EXPORT, body=b"\x01\x00" + _name(MEMORY_PAGES) + b"\x01" + unsigned(counts["func"]) + b"\x00"),
    ]


def _name(text: str) -> bytes:
    return unsigned(len(text)) + text.encode()


def _count(section: Section, counts: Counter[str]) -> None:
    """Add what a section defines to the sizes of the index spaces."""
    whole = {_CORE_MODULE: "core module", _NESTED_COMPONENT: "component"}
    by_count = {_CORE_INSTANCE: "core instance", _INSTANCE: "instance", _TYPE: "type", 3: "core type"}
    items: dict[int, Callable[[bytes, int], tuple[str, int]]]
    items = {_ALIAS: _alias, _CANON: _canon, _IMPORT: _import, _EXPORT: _export}
    if section.id in whole:
        counts[whole[section.id]] += 1
    elif section.id in by_count:
        counts[by_count[section.id]] += read_unsigned(section.body, 0)[0]
    elif section.id in items:
        number, at = read_unsigned(section.body, 0)
        for _ in range(number):
            sort, at = items[section.id](section.body, at)
            counts[sort] += 1
        if at != len(section.body):
            raise NotSupportedError(f"a section {section.id} of an unknown shape")


def _sort(body: bytes, at: int) -> tuple[str, int]:
    known = _CORE_SORTS if body[at] == 0 else _SORTS
    at += body[at] == 0
    if body[at] not in known:
        raise NotSupportedError(f"a sort {body[at]:#x}")
    return known[body[at]], at + 1


def _alias(body: bytes, at: int) -> tuple[str, int]:
    sort, at = _sort(body, at)
    target = body[at]
    _, at = read_unsigned(body, at + 1)
    if target == 2:  # noqa: PLR2004 - of an outer component: a depth and an index
        return sort, read_unsigned(body, at)[1]
    return sort, _after_name(body, at)


def _after_name(body: bytes, at: int) -> int:
    size, at = read_unsigned(body, at)
    return at + size


def _canon(body: bytes, at: int) -> tuple[str, int]:
    kind = body[at]
    if kind in {2, 3, 4}:  # a resource's new, drop and rep
        return _FUNC, read_unsigned(body, at + 1)[1]
    if kind > 1 or body[at + 1] != 0:
        raise NotSupportedError(f"a canonical function {kind:#x}")
    _, at = read_unsigned(body, at + 2)
    options, at = read_unsigned(body, at)
    for _ in range(options):
        has_index = body[at] in {3, 4, 5}  # memory, realloc, post-return
        at = read_unsigned(body, at + 1)[1] if has_index else at + 1
    if kind == 0:
        return "func", read_unsigned(body, at)[1]
    return _FUNC, at


def _import(body: bytes, at: int) -> tuple[str, int]:
    return _described(body, _after_name(body, at + 1))


def _described(body: bytes, at: int) -> tuple[str, int]:
    sort, at = _sort(body, at)
    if sort == "type" and body[at] == 1:  # a resource, bounded by nothing
        return sort, at + 1
    if sort == "type":
        return sort, read_unsigned(body, at + 1)[1]
    return sort, read_unsigned(body, at)[1]


def _export(body: bytes, at: int) -> tuple[str, int]:
    sort, at = _sort(body, _after_name(body, at + 1))
    _, at = read_unsigned(body, at)
    if body[at] == 0:
        return sort, at + 1
    return sort, _described(body, at + 1)[1]
