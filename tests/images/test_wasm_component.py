"""The component that the build gives one more export: it says the memory's size, and nothing else has changed."""

import pytest
import wasmtime
from hypothesis import given
from hypothesis import strategies as st
from wasmtime import component

from sandboxes.images.wasm_component import MEMORY_PAGES, with_memory_size
from sandboxes.images.wasm_module import NotSupportedError

# Imports, aliases, resources, nested components and lifted functions in front: what has to be counted.
_COMPONENT = """
(component
  (import "host" (instance $host
    (export "t" (type (sub resource)))
    (export "f" (func (param "x" u32) (result u32)))))
  (import "r" (type $r (sub resource)))
  (alias export $host "f" (func $f))
  (alias export $host "t" (type $t))
  (component $inner (core module (func (export "x"))))
  (core func $lowered (canon lower (func $f)))
  (core func $dropped (canon resource.drop $t))
  (core module $first (memory (export "memory") 3)
    (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
    (func (export "noise")))
  (core module $second (import "a" "f" (func (param i32) (result i32))))
  (core instance $one (instantiate $first))
  (core instance $args (export "f" (func $lowered)))
  (core instance $two (instantiate $second (with "a" (instance $args))))
  (alias core export $one "memory" (core memory $memory))
  (alias core export $one "grow" (core func $grow))
  (type $grows (func (param "by" u32) (result u32)))
  (func $lifted (type $grows) (canon lift (core func $grow)))
  (export $exported "grow" (func $lifted))
  (export "same" (func $exported)))
"""
_FEW = """
(component
  (core module $m (memory (export "memory") 1) (func (export "grow") (param i32) (result i32)
    (memory.grow (local.get 0))))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (func (export "grow") (param "by" u32) (result u32) (canon lift (core func $i "grow"))))
"""


def bytes_of(text: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text))


@given(st.lists(st.integers(0, 20), max_size=5))
def test_it_tells_the_memory_as_it_grows(grown: list[int]):
    config = wasmtime.Config()
    config.wasm_component_model = True
    engine = wasmtime.Engine(config)
    image = component.Component(engine, with_memory_size(bytes_of(_FEW)))
    store = wasmtime.Store(engine)
    instance = component.Linker(engine).instantiate(store, image)
    grow, pages = instance.get_func(store, "grow"), instance.get_func(store, MEMORY_PAGES)
    assert grow is not None
    assert pages is not None
    total = 1
    for by in grown:
        assert grow(store, by) == total
        grow.post_return(store)
        total += by
        assert pages(store) == total
        pages.post_return(store)


def test_whatever_a_component_is_made_of_is_counted_right():
    config = wasmtime.Config()
    config.wasm_component_model = True
    engine = wasmtime.Engine(config)
    image = component.Component(engine, with_memory_size(bytes_of(_COMPONENT)))
    assert list(image.type.exports(engine)) == ["grow", "same", MEMORY_PAGES]


@pytest.mark.parametrize("wasm", [b"", bytes_of("(module)"), bytes_of("(component)")])
def test_what_it_was_not_made_for_is_refused(wasm: bytes):
    with pytest.raises(NotSupportedError):
        with_memory_size(wasm)
