"""What a component imports and the host does not have: reaching for it is recorded, and stops the guest.

An interpreter reaches for these only as it dies (an abort, an exit, a panic) or when a program goes behind its
standard library. Without the record the host would see a trap and not know why.
"""

from collections.abc import Callable
from typing import Any, Final

import wasmtime
from wasmtime import component

STREAMS: Final = "wasi:io/streams"
STDERR: Final = "wasi:cli/stderr"
_OUTPUT_STREAM: Final = 1
_WRITES: Final = ("[method]output-stream.write", "[method]output-stream.blocking-write-and-flush")
_CHECK_WRITE: Final = "[method]output-stream.check-write"
_MOST_WORDS: Final = 200

type Reached = Callable[[str], None]


def define_absent(
    instance: component.LinkerInstance, name: str, kind: component.ComponentInstanceType, reached: Reached, engine: Any
) -> None:
    """Define every function of one imported instance; `reached` is told which one was called.

    A dying interpreter's first words on standard error are told too, as "stderr: ...".
    """
    if name == STREAMS:
        instance.add_resource("output-stream", component.ResourceType.host(_OUTPUT_STREAM), lambda *_: None)
    for function, extern in kind.exports(engine).items():
        if not isinstance(extern.ty, component.FuncType):
            continue
        if name == STDERR:
            instance.add_func(function, lambda _: component.ResourceHost.own(0, _OUTPUT_STREAM))
        elif function == _CHECK_WRITE:
            instance.add_func(function, _room)
        elif function in _WRITES:
            instance.add_func(function, _last_words(reached))
        else:
            instance.add_func(function, _stop(reached, f"{name} {function}"))


def _stop(reached: Reached, what: str) -> Callable[..., None]:
    def stop(*_: Any) -> None:
        reached(what)
        raise wasmtime.WasmtimeError("not in the sandbox")

    return stop


def _room(store: Any, stream: component.ResourceAny) -> int:
    stream.drop(store)
    return _MOST_WORDS


def _last_words(reached: Reached) -> Callable[..., None]:
    def stop(store: Any, stream: component.ResourceAny, words: Any) -> None:
        stream.drop(store)
        reached("stderr: " + bytes(words[:_MOST_WORDS]).decode(errors="replace"))
        raise wasmtime.WasmtimeError("the interpreter gave up")

    return stop
