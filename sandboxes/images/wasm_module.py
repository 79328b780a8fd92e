"""A WebAssembly core module as a list of sections, and the snapshot of a booted instance written back into it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

IMPORT, MEMORY, GLOBAL, EXPORT, START, CODE, DATA, DATA_COUNT, CUSTOM = 2, 5, 6, 7, 8, 10, 11, 12, 0
I32, I32_CONST, END, MUTABLE = 0x7F, 0x41, 0x0B, 1
PAGE = 1 << 16
MEMORY_EXPORT, GLOBAL_EXPORT = 2, 3
MORE, BITS, SIGN = 0x80, 0x7F, 0x40  # of one LEB128 byte
# Shorter gaps of zeros cost less as data than a segment of their own does.
RUN_OF_DATA = re.compile(rb"[^\0]+(?:\0{1,64}[^\0]+)*")


class NotSupportedError(ValueError):
    """The module has a shape this writer was not made for."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One section: its id and its body without the length."""

    id: int
    body: bytes


def read_unsigned(data: bytes, at: int) -> tuple[int, int]:
    """Read an unsigned LEB128: the value and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & BITS) << shift
        shift += 7
        if byte < MORE:
            return value, at


def unsigned(value: int) -> bytes:
    """Write an unsigned LEB128."""
    out = bytearray()
    while value >= MORE:
        out.append(value & BITS | MORE)
        value >>= 7
    return bytes([*out, value])


def read_signed(data: bytes, at: int) -> tuple[int, int]:
    """Read a signed LEB128: the value and the offset behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & BITS) << shift
        shift += 7
        if byte < MORE:
            return value - (1 << shift) if byte & SIGN else value, at


def signed(value: int) -> bytes:
    """Write a signed LEB128."""
    out = bytearray()
    while not -SIGN <= value < SIGN:
        out.append(value & BITS | MORE)
        value >>= 7
    return bytes([*out, value & BITS])


def read_sections(wasm: bytes) -> list[Section]:
    """Split a module into its sections, in order."""
    sections, at = [], 8
    while at < len(wasm):
        kind = wasm[at]
        size, body = read_unsigned(wasm, at + 1)
        sections.append(Section(id=kind, body=wasm[body : body + size]))
        at = body + size
    return sections


def write_sections(sections: list[Section]) -> bytes:
    """Join sections to a module of version 1."""
    return b"\0asm\1\0\0\0" + b"".join(bytes([s.id]) + unsigned(len(s.body)) + s.body for s in sections)


def read_exports(body: bytes) -> Iterator[tuple[str, int, int]]:
    """The entries of an export section: name, kind, index."""
    count, at = read_unsigned(body, 0)
    for _ in range(count):
        size, at = read_unsigned(body, at)
        name = body[at : at + size].decode()
        kind = body[at + size]
        index, at = read_unsigned(body, at + size + 1)
        yield name, kind, index


def keep_exports(body: bytes, names: Mapping[str, str]) -> bytes:
    """An export section with these exports only, under new names."""
    kept = [(names[name].encode(), kind, index) for name, kind, index in read_exports(body) if name in names]
    entries = (unsigned(len(name)) + name + bytes([kind]) + unsigned(index) for name, kind, index in kept)
    return unsigned(len(kept)) + b"".join(entries)


def _set_stack_pointer(body: bytes, value: int) -> bytes:
    """Give the only mutable global, which is the stack pointer, its value after boot."""
    count, at = read_unsigned(body, 0)
    out, mutable = bytearray(unsigned(count)), 0
    for _ in range(count):
        kind, mutability, opcode = body[at : at + 3]
        if kind != I32 or opcode != I32_CONST:
            raise NotSupportedError(f"a global of type {kind:#x} initialised by {opcode:#x}")
        _, end = read_unsigned(body, at + 3)
        constant = signed(value) if mutability == MUTABLE else body[at + 3 : end]
        out += bytes([kind, mutability, opcode]) + constant + bytes([END])
        mutable += mutability
        at = end + 1
    if mutable != 1:
        raise NotSupportedError(f"{mutable} mutable globals where only the stack pointer was expected")
    return bytes(out)


def data_section(memory: bytes) -> bytes:
    """The body of a data section that fills the memory so."""
    runs = [(match.start(), match.group()) for match in RUN_OF_DATA.finditer(memory)]
    segments = (b"\0" + bytes([I32_CONST]) + signed(at) + bytes([END]) + unsigned(len(run)) + run for at, run in runs)
    return unsigned(len(runs)) + b"".join(segments)


def memory_bytes(sections: list[Section]) -> int:
    """How large an instance's memory is at first."""
    # One memory; behind its count and its flags stands the least number of pages.
    return next(read_unsigned(section.body, 2)[0] for section in sections if section.id == MEMORY) * PAGE


def initial_memory(sections: list[Section]) -> bytearray:
    """What an instance's memory begins with. Raises NotSupportedError for data at an offset that is no constant."""
    memory = bytearray(memory_bytes(sections))
    for section in sections:
        if section.id == DATA:
            for at, data in _segments(section.body):
                memory[at : at + len(data)] = data
    return memory


def _segments(body: bytes) -> Iterator[tuple[int, bytes]]:
    count, at = read_unsigned(body, 0)
    for _ in range(count):
        if body[at] != 0 or body[at + 1] != I32_CONST:
            raise NotSupportedError("data that is not put at a constant offset")
        offset, at = read_signed(body, at + 2)
        size, at = read_unsigned(body, at + 1)
        yield offset, body[at : at + size]
        at += size


def global_values(sections: list[Section]) -> dict[str, int]:
    """The exported globals that begin with a constant, by name."""
    found: dict[str, int] = {}
    values: list[int] = []
    for section in sections:
        if section.id == GLOBAL:
            count, at = read_unsigned(section.body, 0)
            for _ in range(count):
                if section.body[at] != I32 or section.body[at + 2] != I32_CONST:
                    raise NotSupportedError("a global that does not begin with an i32 constant")
                value, at = read_signed(section.body, at + 3)
                values.append(value)
                at += 1
        elif section.id == EXPORT:
            entries = (entry for entry in read_exports(section.body) if entry[1] == GLOBAL_EXPORT)
            found = {name: values[index] for name, _, index in entries}
    return found


def snapshot(wasm: bytes, memory: bytes, stack_pointer: int, exports: frozenset[str]) -> bytes:
    """Return the module with a booted instance's memory (whole pages) and stack pointer, and only `exports` left."""
    out = []
    for section in read_sections(wasm):
        match section.id:
            case 5:
                out.append(Section(id=MEMORY, body=b"\1\0" + unsigned(len(memory) // PAGE)))
            case 6:
                out.append(Section(id=GLOBAL, body=_set_stack_pointer(section.body, stack_pointer)))
            case 7:
                out.append(Section(id=EXPORT, body=keep_exports(section.body, {name: name for name in exports})))
            case 11:
                out.append(Section(id=DATA, body=data_section(memory)))
            case 0 | 8 | 12:
                continue
            case _:
                out.append(section)
    return write_sections(out)
