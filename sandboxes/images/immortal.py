"""Objects of a CPython snapshot made immortal, so that using them writes nothing.

CPython counts references inside the objects. Each count that moves costs an isolate a copy of the page it lies on,
also when it moves back. An immortal object's count (PEP 683) stands still; and none of a snapshot's objects has to be
freed, because an isolate is used once.

Works on the linear memory of a 32-bit build without free threading, where an object begins with its count and its
type. What looks like an object and is not would be damaged, so several things must hold of each: see `_Census`.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterator

from .wasm_module import (
    DATA,
    DATA_COUNT,
    NotSupportedError,
    Section,
    data_section,
    initial_memory,
    read_sections,
    write_sections,
)

# `_Py_IMMORTAL_INITIAL_REFCNT` of 32-bit CPython 3.14; static objects have 7 << 28.
_IMMORTAL = 5 << 28
_STATIC_IMMORTAL = 7 << 28
_MOST_COUNTED = 0xFFFF
_ALIGNED = 7
_WORD = 4

# Words of a type object (Include/cpython/object.h).
_NAME, _BASIC_SIZE, _ITEM_SIZE, _FLAGS, _MRO = 3, 4, 5, 21, 43
_TYPE_WORDS = 44
_READY, _HAS_GC = 1 << 12, 1 << 14
_MOST_BASIC_SIZE, _MOST_ITEM_SIZE, _MOST_ITEMS_BYTES = 1 << 16, 1 << 12, 1 << 20


def immortalise(module: bytes, *, type_type: int, heap: int) -> tuple[bytes, int]:
    """The module with the objects of its initial memory immortal, and how many there were.

    `type_type` is the address of `PyType_Type`, `heap` the end of what the modules themselves put into memory:
    objects before it are static, and immortal already. Raises NotSupportedError if the memory is not of that layout.
    """
    sections = read_sections(module)
    census = _Census(initial_memory(sections), type_type)
    count = census.immortalise(heap)
    body = data_section(census.words.tobytes())
    kept = [section for section in sections if section.id != DATA_COUNT]
    changed = [Section(id=DATA, body=body) if section.id == DATA else section for section in kept]
    return write_sections(changed), count


class _Census:
    """All objects in a memory.

    A type is what has the shape of a ready type and a type for its own. An object has a small count, a type, an aligned
    place that lies inside no other object; and where its type is tracked by the collector, its neighbours in the
    collector's list point back to it.
    """

    def __init__(self, memory: bytearray, type_type: int) -> None:
        self.words = array("I", bytes(memory))
        if self.words.itemsize != _WORD:
            raise NotSupportedError("this machine's unsigned integers do not have 4 bytes")
        self._memory = memory
        self._type_type = type_type
        if self.words[type_type >> 2] != _STATIC_IMMORTAL or self.words[(type_type >> 2) + 1] != type_type:
            raise NotSupportedError(f"there is no PyType_Type of CPython 3.14 at {type_type:#x}")
        self._tuple_type = self.words[(self.words[(type_type >> 2) + _MRO] >> 2) + 1]
        self._typed: dict[int, list[int]] = defaultdict(list)
        for place, word in enumerate(self.words):
            if 0 < word < len(memory) and not word % _WORD:
                self._typed[word].append((place - 1) * _WORD)

    def immortalise(self, heap: int) -> int:
        """Set the counts of all objects from `heap` on; how many there are."""
        count = end = 0
        for start, behind in sorted(self._objects(heap)):
            if start >= end:
                self.words[start >> 2] = _IMMORTAL
                count, end = count + 1, behind
        return count

    def _objects(self, heap: int) -> Iterator[tuple[int, int]]:
        """Where each begins and ends, as far as its type tells."""
        for kind in self._types():
            at = kind >> 2
            basic, item, flags = (self.words[at + part] for part in (_BASIC_SIZE, _ITEM_SIZE, _FLAGS))
            for start in self._typed[kind]:
                counted = 1 <= self.words[start >> 2] <= _MOST_COUNTED
                if counted and start >= heap and not start & _ALIGNED and self._tracked(start, flags):
                    items = min(item * self.words[(start >> 2) + 2], _MOST_ITEMS_BYTES)
                    yield start, start + basic + items

    def _types(self) -> set[int]:
        found, waiting = {self._type_type}, [self._type_type]
        while waiting:
            new = {place for place in self._typed[waiting.pop()] if self._is_type(place)} - found
            found |= new
            waiting += new
        return found

    def _is_type(self, place: int) -> bool:
        at, end = place >> 2, len(self._memory)
        if at + _TYPE_WORDS >= len(self.words) or not self.words[at]:
            return False
        name, basic, item, flags, mro = (
            self.words[at + part] for part in (_NAME, _BASIC_SIZE, _ITEM_SIZE, _FLAGS, _MRO)
        )
        if not 0 < name < end or not 0 < mro < end - _WORD or not flags & _READY:
            return False
        named = 0x20 < self._memory[name] < 0x7F  # noqa: PLR2004 - printable
        sized = 2 * _WORD <= basic <= _MOST_BASIC_SIZE and item <= _MOST_ITEM_SIZE
        return named and sized and self.words[(mro >> 2) + 1] == self._tuple_type

    def _tracked(self, start: int, flags: int) -> bool:
        """Whether the collector's list, if the object is in it, leads back to it; the low bits are flags."""
        if not flags & _HAS_GC:
            return True
        head = start - 2 * _WORD
        following = self.words[head >> 2] & ~_ALIGNED
        if not following:
            return True
        back = (following >> 2) + 1
        return back < len(self.words) and self.words[back] & ~_ALIGNED == head
