"""Immortal objects: those of the snapshot stay, a program's own come and go as always."""

import struct

import pytest

from sandboxes.images.immortal import immortalise
from sandboxes.images.wasm_module import (
    DATA,
    MEMORY,
    NotSupportedError,
    Section,
    data_section,
    initial_memory,
    read_sections,
    write_sections,
)
from tests.images.python_host import Image, python

__all__ = ["python"]

IMMORTAL = 5 << 28


def test_the_snapshots_objects_are_immortal_and_a_programs_own_are_not(python: Image) -> None:
    code = """
import sys, functools, json, os, re
class Own: pass
own = [Own(), [], {}, "own" + str(len(sys.argv)), (1, [])]
theirs = [functools.lru_cache, functools.__dict__, json.dumps, json.JSONDecoder, os.path.join.__code__, re.compile]
return [min(map(sys.getrefcount, theirs)) >= 1 << 30, max(map(sys.getrefcount, own)) < 100]
"""
    assert python.run(code).value == [True, True]


def test_what_a_program_makes_still_dies(python: Image) -> None:
    code = """
import weakref
gone = []
class Own:
    def __del__(self): gone.append("del")
own = Own()
weakref.finalize(own, gone.append, "finalize")
del own
return sorted(gone)
"""
    assert python.run(code).value == ["del", "finalize"]


def test_memory_given_back_is_used_again(python: Image) -> None:
    code = """
for _ in range(200):
    data = bytearray(8 << 20)
    del data
return "fits"
"""
    assert python.run(code, memory=96 << 20).value == "fits"


def toy_memory() -> tuple[bytearray, int, int]:
    """A heap of four chunks behind static `type` and `tuple`: an object, a text that looks like one, two free ones."""
    memory = bytearray(1 << 16)
    type_type, tuple_type, mro, name = 1024, 2048, 3072, 512
    memory[name : name + 5] = b"type\0"
    for kind in (type_type, tuple_type):
        struct.pack_into("<IIIII", memory, kind, 7 << 28, type_type, 0, name, 24)
        struct.pack_into("<I", memory, kind + 84, 1 << 12)
        struct.pack_into("<I", memory, kind + 172, mro)
    struct.pack_into("<II", memory, mro, 7 << 28, tuple_type)
    heap = 4096
    return memory, type_type, heap


def chunk(memory: bytearray, place: int, size: int, content: bytes, *, used: bool = True) -> int:
    struct.pack_into("<I", memory, place - 4, size | (2 if used else 0) | 1)
    memory[place : place + len(content)] = content
    return place + size


def module(memory: bytes) -> bytes:
    return write_sections([Section(id=MEMORY, body=b"\1\0\1"), Section(id=DATA, body=data_section(memory))])


def counts(wasm: bytes, *places: int) -> list[int]:
    memory = initial_memory(read_sections(wasm))
    return [struct.unpack_from("<I", memory, place)[0] for place in places]


def test_only_objects_are_touched() -> None:
    memory, type_type, heap = toy_memory()
    first = heap + 16
    looks = struct.pack("<II", 7, type_type)
    second = chunk(memory, first, 48, looks + bytes(16) + looks)  # an object, and in it what looks like one
    third = chunk(memory, second, 48, b"text" * 4 + looks)  # the same in something else
    fourth = chunk(memory, third, 48, looks, used=False)  # freed
    fifth = chunk(memory, fourth, 48, struct.pack("<II", 70_000, type_type))  # no plausible count
    chunk(memory, fifth, len(memory) - fifth, b"", used=False)
    wasm, count = immortalise(module(bytes(memory)), type_type=type_type, heap=heap)
    assert count == 1
    places = first, first + 24, second + 16, third, fourth, type_type
    assert counts(wasm, *places) == [IMMORTAL, 7, 7, 7, 70_000, 7 << 28]


def test_another_layout_is_refused() -> None:
    memory, type_type, heap = toy_memory()
    with pytest.raises(NotSupportedError, match="no PyType_Type"):
        immortalise(module(bytes(memory)), type_type=type_type + 8, heap=heap)
    memory = bytearray(memory) + bytes(3 << 16)
    chunk(memory, heap + 16, 48, b"")
    wasm = write_sections([Section(id=MEMORY, body=b"\1\0\4"), Section(id=DATA, body=data_section(bytes(memory)))])
    with pytest.raises(NotSupportedError, match="chunks end"):
        immortalise(wasm, type_type=type_type, heap=heap)
