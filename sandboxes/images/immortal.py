"""Objects of a CPython snapshot made immortal, so that using them writes nothing.

CPython counts references inside the objects. Each count that moves costs an isolate a copy of the page it lies on,
also when it moves back. An immortal object's count (PEP 683) stands still; and none of a snapshot's objects has to be
freed, because an isolate is used once.

Works on the linear memory of a 32-bit build without free threading, where an object begins with its count and its
type, on top of dlmalloc.
"""

from array import array
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
_WORD = 4

# Of a type object, in bytes (Include/cpython/object.h).
_NAME, _BASIC_SIZE, _FLAGS, _MRO, _TYPE_BYTES = 12, 16, 84, 172, 176
_READY, _HAS_GC, _HAS_PREHEADER = 1 << 12, 1 << 14, 1 << 3 | 1 << 4
_MOST_BASIC_SIZE = 1 << 16

# Of the C library's allocator, dlmalloc.
_ALIGNMENT, _CHUNK_FLAGS, _IN_USE = 16, 7, 2
# What the allocator keeps behind the last chunk, and a page that was added without its knowledge.
_MOST_BEHIND_TOP = 128 + (1 << 16)


def immortalise(module: bytes, *, type_type: int, heap: int) -> tuple[bytes, int]:
    """The module with the objects of its initial memory immortal, and how many there were.

    `type_type` is the address of `PyType_Type`; the allocator's heap begins at `heap`. Static objects, which lie before
    it, are immortal already. Raises NotSupportedError if the memory is not of that layout.
    """
    sections = read_sections(module)
    census = _Census(initial_memory(sections), type_type)
    count = census.immortalise(heap)
    body = data_section(census.words.tobytes())
    kept = [section for section in sections if section.id != DATA_COUNT]
    changed = [Section(id=DATA, body=body) if section.id == DATA else section for section in kept]
    return write_sections(changed), count


class _Census:
    """All objects in the allocator's heap.

    A type is what has the shape of a ready type and a type for its own. An object begins an allocated chunk, behind
    the headers its type asks for, and has a small count. Nothing else is touched: what lies inside of an object, or is
    left of one that was freed, can look like another.
    """

    def __init__(self, memory: bytearray, type_type: int) -> None:
        self.words = array("I", bytes(memory))
        if self.words.itemsize != _WORD:
            raise NotSupportedError("this machine's unsigned integers do not have 4 bytes")
        self._memory = memory
        self._type_type = type_type
        if self._word(type_type) != _STATIC_IMMORTAL or self._word(type_type + _WORD) != type_type:
            raise NotSupportedError(f"there is no PyType_Type of CPython 3.14 at {type_type:#x}")
        self._tuple_type = self._word(self._word(type_type + _MRO) + _WORD)
        self._is_known_type: dict[int, bool] = {type_type: True}

    def immortalise(self, heap: int) -> int:
        """Set the counts of all objects; how many there are."""
        count = 0
        for place, size in self._chunks(heap):
            start = self._object(place, size)
            if start is not None:
                self.words[start >> 2] = _IMMORTAL
                count += 1
        return count

    def _chunks(self, heap: int) -> Iterator[tuple[int, int]]:
        """What is allocated: where its usable part begins, and how large that is.

        dlmalloc: the word before the usable part holds the chunk's size and, in the low bits, whether it is in use. The
        last chunk is free, and reaches to the end of memory but for what the allocator keeps there.
        """
        place = -(-(heap + 2 * _WORD) // _ALIGNMENT) * _ALIGNMENT
        end = len(self._memory)
        while place < end:
            head = self._word(place - _WORD)
            size = head & ~_CHUNK_FLAGS
            if size < _ALIGNMENT or size % _ALIGNMENT or place + size > end + 2 * _WORD:
                break
            if head & _IN_USE:
                yield place, size - _WORD
            place += size
        if end - place > _MOST_BEHIND_TOP:
            raise NotSupportedError(f"the heap's chunks end at {place:#x} of {end:#x}")

    def _object(self, place: int, size: int) -> int | None:
        """Where the object in a chunk begins, if there is one."""
        for before in (0, 2 * _WORD, 4 * _WORD):
            start = place + before
            if before + 2 * _WORD > size or not 1 <= self._word(start) <= _MOST_COUNTED:
                continue
            kind = self._word(start + _WORD)
            if self._is_type(kind) and self._fits(kind, before, size):
                return start
        return None

    def _fits(self, kind: int, before: int, size: int) -> bool:
        """Whether an object of this type has such headers: for the collector, for dictionary and weak references."""
        flags = self._word(kind + _FLAGS)
        headers = 2 * _WORD * (bool(flags & _HAS_GC) + bool(flags & _HAS_PREHEADER))
        return before == headers and before + self._word(kind + _BASIC_SIZE) <= size

    def _is_type(self, place: int) -> bool:
        known = self._is_known_type.get(place)
        if known is None:
            self._is_known_type[place] = False  # while it is being looked at
            known = self._is_known_type[place] = self._has_shape_of_type(place)
        return known

    def _has_shape_of_type(self, place: int) -> bool:
        end = len(self._memory)
        if place % _WORD or not 0 < place < end - _TYPE_BYTES or not self._word(place):
            return False
        name, basic, mro = (self._word(place + part) for part in (_NAME, _BASIC_SIZE, _MRO))
        ready = bool(self._word(place + _FLAGS) & _READY)
        if not ready or not 0 < name < end or not 0 < mro < end - 2 * _WORD or mro % _WORD:
            return False
        named = 0x20 < self._memory[name] < 0x7F  # noqa: PLR2004 - printable
        sized = 2 * _WORD <= basic <= _MOST_BASIC_SIZE
        return (
            named and sized and self._word(mro + _WORD) == self._tuple_type and self._is_type(self._word(place + _WORD))
        )

    def _word(self, address: int) -> int:
        return self.words[address >> 2]
