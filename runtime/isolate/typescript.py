"""Erases TypeScript's types with SWC's parser: inside Wasm, in a store of its own for each program.

What is erased becomes blanks, so that every position stays that of the source.
"""

import logging
import re
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import wasmtime

from runtime.isolate.bindgen import FIRST_UNDEFINED, BadValueError, Values, link
from runtime.isolate.erasure import Erased, Problem, problem_of
from runtime.isolate.native import Exports, GuestStopped, unwatch, watch_epochs

log = logging.getLogger(__name__)

MOST_MEMORY = 96 << 20
"""Bytes of memory for one program: 256 KB of `{}` take 65 MB."""

MOST_CPU_S = 0.5
"""Processor seconds for one program. 256 KB take 0.03 s; ambiguous arrow functions can take exponential time."""

_RESULT = struct.Struct("<III")
_STACK_BYTES = 16
_TEXT_SLACK = 64 << 10
_BOM, _HASHBANG, _COMMENT = "\ufeff", "#!", "//"
# The program as the body of a function, which may return and await; on the first line, so that lines stay.
_HEAD, _TAIL = "async()=>{", "\n}"
_MODULE = re.compile(r"^[ \t]*(?:import|export)\b", re.MULTILINE)
_ABOUT_RETURN = "Return statement is not allowed here"
_RETURN_IN_MODULE = (
    "a program with import or export cannot also have a return outside a function: export default the value"
)
_WARMING = "const a: number = 1; async function f(b: string[]): Promise<void> { return b as any }\n" * 3

type Tick = Callable[[], bool]


def _go_on() -> bool:
    return True


class TypeEraser:
    """The parser's module, linked, and parsers prepared ahead. For any thread that has a guest's stack.

    `ticker` makes the epochs of `engine` go by while a program is parsed. Each process sets its own: without one a
    program can take for ever.
    """

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module) -> None:
        self.engine = engine
        self.ticker: AbstractContextManager[None] = nullcontext()
        self._current = _Current()
        linker = wasmtime.Linker(engine)
        self._keep = link(linker, module, lambda: self._current.parser.values)
        self._pre = linker.instantiate_pre(module)
        self._spares: deque[_Parser] = deque()

    def prepare(self, count: int = 1) -> None:
        """Have `count` warmed parsers ready. Each serves one program."""
        while len(self._spares) < count:
            parser = self._parser()
            self._enter(parser, _WARMING, _go_on)
            parser.parse(_WARMING)
            self._spares.append(parser)

    def erase(self, source: str, tick: Tick = _go_on) -> Erased | Problem:
        """Erase the types, on the calling thread.

        `tick` is called at every epoch; false gives up. Raises for nothing that the source or the parser does.
        """
        try:
            parser = self._spares.popleft()
        except IndexError:
            parser = self._parser()
        try:
            with self.ticker:
                self._enter(parser, source, tick)
                return _erase(parser, source)
        except GuestStopped:
            return Problem(message=parser.why_stopped())
        except (BadValueError, ValueError, TypeError, KeyError, AttributeError) as error:
            log.warning("the TypeScript parser misbehaved: %r", error)
            return Problem(message="the TypeScript parser failed on this program: send plain JavaScript")
        finally:
            parser.close()

    def close(self) -> None:
        """Drop the prepared parsers."""
        while self._spares:
            self._spares.popleft().close()

    def _parser(self) -> "_Parser":
        return _Parser(self.engine, self._pre)

    def _enter(self, parser: "_Parser", source: str, tick: Tick) -> None:
        self._current.parser = parser
        parser.begin(4 * len(source.encode(errors="replace")) + _TEXT_SLACK, tick)


def _erase(parser: "_Parser", source: str) -> Erased | Problem:
    if source.startswith(_BOM):
        source = " " + source[1:]
    if _MODULE.search(source):
        as_module = _read_module(parser, source)
        if isinstance(as_module, Problem) and as_module.message == _ABOUT_RETURN:
            return Problem(
                message=_RETURN_IN_MODULE,
                line=as_module.line,
                column=as_module.column,
                source_line=as_module.source_line,
            )
        return as_module
    as_function = _read_function(parser, source)
    if isinstance(as_function, Erased) or as_function.unsupported:
        return as_function
    as_module = _read_module(parser, source)
    if isinstance(as_module, Problem) and as_module.message == _ABOUT_RETURN:
        return as_function
    return as_module


def _read_module(parser: "_Parser", source: str) -> Erased | Problem:
    ok, value = parser.parse(source)
    return _erased(value["code"], source) if ok else problem_of(value, source, 0)


def _read_function(parser: "_Parser", source: str) -> Erased | Problem:
    # A function's body may not begin with `#!`.
    body = _COMMENT + source[2:] if source.startswith(_HASHBANG) else source
    ok, value = parser.parse(_HEAD + body + _TAIL)
    if not ok:
        return problem_of(value, source, len(_HEAD))
    code = value["code"]
    if not (isinstance(code, str) and code.startswith(_HEAD) and code.endswith(_TAIL)):
        raise ValueError("the function around the program is gone")
    code = code[len(_HEAD) : -len(_TAIL)]
    return _erased(code if body is source else _HASHBANG + code[2:], source)


def _erased(code: object, source: str) -> Erased:
    if not isinstance(code, str) or code.count("\n") != source.count("\n"):
        raise ValueError("the parser lost lines")
    return Erased(code, code != source)


class _Current(threading.local):
    """The parser that runs on this thread; host functions find it here."""

    parser: "_Parser"


class _Parser:
    """One instance of the module. Used for one program; a trap leaves it unusable."""

    def __init__(self, engine: wasmtime.Engine, pre: wasmtime.InstancePre) -> None:
        self._tick: Tick = _go_on
        self._until = 0.0
        self._out_of_time = False
        self._store = store = wasmtime.Store(engine)
        store.set_limits(memory_size=MOST_MEMORY, instances=1, memories=1, tables=1)
        self._watch = watch_epochs(store, self._on_epoch)
        exports = Exports(store, pre.instantiate(store))
        self._memory = exports.memory()
        self._allocate = exports.function("__wbindgen_export_2", 2)
        self.values = Values(self._memory, self._allocate)
        self._move_stack = exports.function("__wbindgen_add_to_stack_pointer", 1)
        self._transform = exports.function("transformSync", 3)

    def _on_epoch(self) -> bool:
        self._out_of_time = self._out_of_time or time.thread_time() >= self._until
        return not self._out_of_time and self._tick()

    def begin(self, most_text: int, tick: Tick) -> None:
        """Set the bounds for one program, on the thread that will parse it."""
        self.values.text_left = most_text
        self._tick = tick
        self._until = time.thread_time() + MOST_CPU_S
        self._store.set_epoch_deadline(1)

    def parse(self, source: str) -> tuple[bool, dict[str, object]]:
        """Erase `source`: true and an object with `code`, or false and an error. Raises GuestStopped at a trap."""
        result = self._move_stack.call32(-_STACK_BYTES)
        self._transform.call32(result, self.values.add(source), FIRST_UNDEFINED)
        good, bad, failed = _RESULT.unpack(self._memory.read(result, _RESULT.size))
        self._move_stack.call32(_STACK_BYTES)
        value = self.values.take(bad if failed else good)
        if not isinstance(value, dict):
            raise TypeError("the parser answered with something else than an object")
        return not failed, value

    def why_stopped(self) -> str:
        """Why the parser trapped, in a sentence."""
        if self._out_of_time:
            return f"the program's types took longer than {MOST_CPU_S * 1e3:.0f} ms to parse: send plain JavaScript"
        if self._memory.size() > MOST_MEMORY // 2:
            return f"the program takes more than {MOST_MEMORY >> 20} MiB to parse: send a shorter one"
        return "the program is nested too deeply for the TypeScript parser"

    def close(self) -> None:
        """Free what the instance holds."""
        unwatch(self._watch)
        self._store.close()
