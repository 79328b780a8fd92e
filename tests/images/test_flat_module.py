"""A component made one module: what is read of it, and what the merged image keeps."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.images import image_path
from sandboxes.images.component_wiring import Bag, FromHost, FromInstance, Instance, read_wiring
from sandboxes.images.flat_module import read_imports
from sandboxes.images.wasm_module import (
    DATA,
    EXPORT,
    GLOBAL,
    IMPORT,
    MEMORY,
    NotSupportedError,
    Section,
    data_section,
    global_values,
    initial_memory,
    read_exports,
    read_sections,
    read_signed,
    signed,
    unsigned,
)


def text(value: str) -> bytes:
    return unsigned(len(value)) + value.encode()


def section(kind: int, *entries: bytes) -> bytes:
    body = unsigned(len(entries)) + b"".join(entries)
    return bytes([kind]) + unsigned(len(body)) + body


# One imported function of an interface, lowered; one module that takes it; its `run` lifted and exported.
COMPONENT = b"\0asm\x0d\0\1\0" + b"".join(
    (
        section(10, b"\0" + text("wasi:random/random@0.2.9") + b"\5\0"),
        section(6, b"\1\0\0" + text("get")),  # alias of a function the interface exports
        section(8, b"\1\0\0\0"),  # its lowered form
        b"\1" + unsigned(8) + b"\0asm\1\0\0\0",
        section(2, b"\1\1" + text("get") + b"\0\0"),  # a bag with it
        section(2, b"\0\0\1" + text("env") + b"\x12\0"),
        section(6, b"\0\0\1\1" + text("run")),
        section(8, b"\0\0\1\1\5\1\0"),  # lifted, with itself to call after the return
        section(11, b"\0" + text("run") + b"\1\1\0"),
    )
)


def test_wiring_tells_where_everything_comes_from() -> None:
    wiring = read_wiring(COMPONENT)
    assert wiring.modules == [b"\0asm\1\0\0\0"]
    assert wiring.cores == [
        Bag({"get": FromHost("wasi:random/random@0.2.9", "get")}),
        Instance(0, {"env": 0}),
    ]
    assert wiring.exports["run"].function == FromInstance(1, "run")
    assert wiring.exports["run"].post_return == FromInstance(1, "run")


@pytest.mark.parametrize(
    ("broken", "what"),
    [
        (section(10, b"\1" + text("a") + b"\1\0"), "version suffix"),
        (section(10, b"\0" + text("a") + b"\2\0"), "neither a function nor an instance"),
        (section(8, b"\x09\0"), "canonical function 0x9"),
        (section(2, b"\0\0\1" + text("env") + b"\x11\0"), "no core instance"),
    ],
)
def test_what_is_not_known_is_refused(broken: bytes, what: str) -> None:
    with pytest.raises(NotSupportedError, match=what):
        read_wiring(b"\0asm\x0d\0\1\0" + broken)


def test_imports_are_read_with_their_kinds() -> None:
    kinds = {"function": b"\0\5", "table": b"\1\x70\1\2\3", "memory": b"\2\0\1", "global": b"\3\x7f\1"}
    body = unsigned(len(kinds)) + b"".join(text("env") + text(name) + kind for name, kind in kinds.items())
    assert {each.name: each.kind for each in read_imports(body)} == kinds
    with pytest.raises(NotSupportedError, match="kind 9"):
        list(read_imports(b"\1" + text("env") + text("x") + b"\x09\0"))


@given(st.integers(-(2**40), 2**40))
def test_signed_numbers_survive(value: int) -> None:
    assert read_signed(b"x" + signed(value), 1) == (value, 1 + len(signed(value)))


@given(st.lists(st.tuples(st.binary(max_size=80), st.integers(0, 200)), max_size=30))
def test_memory_survives_being_written_as_data(parts: list[tuple[bytes, int]]) -> None:
    memory = b"".join(data + bytes(zeros) for data, zeros in parts)[: 1 << 16].ljust(1 << 16, b"\0")
    sections = [Section(id=MEMORY, body=b"\1\0\1"), Section(id=DATA, body=data_section(memory))]
    assert bytes(initial_memory(sections)) == memory


def test_exported_globals_are_read_by_name() -> None:
    globals_ = unsigned(2) + b"\x7f\0\x41" + signed(70_000) + b"\x0b" + b"\x7f\1\x41" + signed(-1) + b"\x0b"
    exports = unsigned(2) + text("base") + b"\3\0" + text("f") + b"\0\1"
    sections = [Section(id=GLOBAL, body=globals_), Section(id=EXPORT, body=exports)]
    assert global_values(sections) == {"base": 70_000}


def test_the_python_image_asks_the_host_for_functions_only() -> None:
    sections = read_sections(image_path("python").read_bytes())
    imports = [each for part in sections if part.id == IMPORT for each in read_imports(part.body)]
    exports = [name for part in sections if part.id == EXPORT for name, _, _ in read_exports(part.body)]
    assert {each.kind[0] for each in imports} == {0}
    assert {each.module.partition("@")[0].partition(":")[0] for each in imports} == {"$root", "wasi"}
    assert sorted(exports) == ["memory", "post:run", "realloc", "run"]
