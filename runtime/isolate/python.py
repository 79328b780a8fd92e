"""The Python image: a snapshotted CPython that waits inside its host calls.

One core module made of a component (`sandboxes/images/flat_module.py`): imports and exports have the flat form that
the Component Model's canonical ABI gives them, strings as pointer and length of UTF-8.
"""

import json
import struct
from collections.abc import Callable

import wasmtime

from runtime.isolate.absent import absent_function
from runtime.isolate.channel import Event
from runtime.isolate.guest import FOREVER_NS, MOST_ERROR_BYTES, Guest
from runtime.isolate.isolate import WARM_FUEL, Current, Isolate, checked_answer, is_reusable, settle, warming_guest
from runtime.isolate.native import Exports, GuestStopped, define_values, unwatch, watch_epochs
from runtime.isolate.outcome import Outcome

_MOST_RANDOM_BYTES = 65_536
_SLACK = 64 << 10
_UNSIGNED = 0xFFFFFFFF
_STRING = struct.Struct("<II")
_INSTANT = struct.Struct("<QI")
_NO_LIST = bytes(8)
_NOTHING = b"\0"
# What a string or list without content points to: anything but null.
_NOWHERE = 1


class PythonImage:
    """A compiled module with its host functions linked; makes isolates."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, *, fuel: bool = False) -> None:
        self.fuel = fuel
        self.engine = engine
        self._current = Current()
        linker = wasmtime.Linker(engine)
        linker.allow_shadowing = True  # two of the merged modules may have imported the same function
        self._keep: list[object] = []
        for each in module.imports:
            if isinstance(each.type, wasmtime.FuncType):
                call = self._host_function(each.module.partition("@")[0], each.name or "")
                self._keep.append(define_values(linker, each.module, each.name or "", each.type, call))
        self._pre = linker.instantiate_pre(module)

    def isolate(self) -> Isolate:
        """A fresh instance, not yet bound to an execution."""
        return _PythonIsolate(self.engine, self._pre, self._current, fuel=self.fuel)

    def _host_function(self, interface: str, name: str) -> Callable[..., int | None]:
        own = _OWN.get((interface, name))
        call = absent_function(interface, name) if own is None else own
        return lambda *args: call(self._current.isolate, *args)


class _PythonIsolate:
    def __init__(self, engine: wasmtime.Engine, pre: wasmtime.InstancePre, current: Current, *, fuel: bool) -> None:
        self._fuel = fuel
        self.reusable = True
        self._guest: Guest | None = None
        self._began_ns = 0
        self._stood_ns = 0
        self._current = current
        self._store = store = wasmtime.Store(engine)
        if fuel:
            store.set_fuel(WARM_FUEL)
        self._watch = watch_epochs(store, self._tick)
        exports = Exports(store, pre.instantiate(store))
        self._memory = exports.memory()
        self._realloc = exports.function("realloc", 4)
        self._run = exports.function("run", 2)
        self._after_run = exports.function("post:run", 1)

    @property
    def guest(self) -> Guest:
        """The guest whose program runs here."""
        assert self._guest is not None
        return self._guest

    def _tick(self) -> bool:
        return self._guest is None or self._guest.tick()

    def warm(self) -> None:
        self._call(warming_guest(), "None", "null")

    def run(self, guest: Guest, program: str, inputs: str, position: int = 0) -> Outcome:
        trapped = overflow = self.reusable = False
        self._set_clock(guest, position)
        try:
            answer = self._call(guest, program, inputs, position)
            guest.answer = checked_answer(answer[:1] == "1", answer[1:], guest.limits)
        except GuestStopped as stopped:
            trapped, overflow = True, stopped.stack_overflow
        except ValueError:
            trapped = True
        if self._fuel:
            guest.fuel_left = self._store.get_fuel()
        outcome = settle(
            guest,
            trapped=trapped,
            stack_overflow=overflow,
            memory_bytes=self._memory.size(),
            memory_exact=True,
        )
        self.reusable = is_reusable(guest, outcome, trapped=trapped)
        return outcome

    def _set_clock(self, guest: Guest, position: int) -> None:
        """A session has one clock: it goes on from where it stood when the last program ended, never back."""
        if position > 1:
            self._stood_ns = self.now_ns
        else:
            self._began_ns = self._stood_ns = guest.start_ns

    @property
    def now_ns(self) -> int:
        """What the guest's clock shows."""
        return max(self.guest.now_ns, self._stood_ns)

    @property
    def elapsed_ns(self) -> int:
        """What it shows since the first program began."""
        return self.now_ns - self._began_ns

    def _call(self, guest: Guest, program: str, inputs: str, position: int = 0) -> str:
        self._guest = guest
        self._current.isolate = self
        limits = guest.limits
        number = {"number": position} if position else {}
        request = {
            "code": program,
            "inputs": inputs,
            "max_call_bytes": limits.call_bytes,
            "max_log_line_bytes": limits.log_line_bytes,
            "max_result_bytes": limits.result_bytes,
            **number,
        }
        self._store.set_limits(memory_size=limits.memory_bytes)
        self._store.set_epoch_deadline(1)
        if self._fuel:
            self._store.set_fuel(limits.fuel)
        data = json.dumps(request).encode()
        returned = self._run.call32(self._copy_in(data), len(data))
        pointer, length = _STRING.unpack(self._memory.read(returned, _STRING.size))
        most = max(limits.result_bytes, MOST_ERROR_BYTES) + _SLACK
        answer = self._memory.read(pointer, min(length, most)).decode(errors="replace")
        self._after_run.call32(returned)
        return answer

    def _copy_in(self, data: bytes, align: int = 1) -> int:
        """Put bytes where the guest's own allocator wants them."""
        if not data:
            return _NOWHERE
        pointer = self._realloc.call32(0, 0, align, len(data))
        self._memory.write(pointer, data)
        return pointer

    def text(self, pointer: int, length: int) -> str:
        """A string of the guest's. Raises ValueError outside its memory."""
        return self._memory.read(pointer, length & _UNSIGNED).decode(errors="replace")

    def answer(self, pointer: int, data: bytes) -> None:
        """Write a function's result where the guest wants it. Raises ValueError outside its memory."""
        self._memory.write(pointer, data)

    def answer_bytes(self, pointer: int, data: bytes) -> None:
        """As `answer`, a string or a list of bytes."""
        self.answer(pointer, _STRING.pack(self._copy_in(data) & _UNSIGNED, len(data)))

    def stop_if_ended(self) -> None:
        """On the guest's thread: an ended guest stops at its next check instead of the next tick."""
        if self.guest.ending is not None:
            self._store.set_epoch_deadline(0)

    def close(self) -> None:
        unwatch(self._watch)
        self._store.close()


type _Here = _PythonIsolate


def _submit(here: _Here, call_id: int, kind: int, *strings: int) -> None:
    name, name_length, payload, length = strings
    guest = here.guest
    most = guest.limits.call_bytes + _SLACK
    if length & _UNSIGNED > most or name_length & _UNSIGNED > _SLACK:
        # Too long to be copied out only to be refused: the guest's own check has been broken.
        guest.submit(call_id & _UNSIGNED, kind & _UNSIGNED, "", "x" * (guest.limits.call_bytes + 1))
    else:
        guest.submit(call_id & _UNSIGNED, kind & _UNSIGNED, here.text(name, name_length), here.text(payload, length))
    here.stop_if_ended()


def _wait(here: _Here, timeout_ns: int, returned: int) -> None:
    event = here.guest.wait(min(timeout_ns & _MOST_U64, FOREVER_NS))
    here.stop_if_ended()
    here.answer_bytes(returned, b"" if event is None else _packed(event))


def _packed(event: Event) -> bytes:
    return f"{event.call_id} {int(event.ok)}\n{event.payload}".encode(errors="replace")


def _log(here: _Here, level: int, text: int, length: int) -> None:
    most = here.guest.limits.log_line_bytes
    here.guest.log(level, here.text(text, min(length & _UNSIGNED, most)))
    here.stop_if_ended()


def _random_bytes(here: _Here, count: int, returned: int) -> None:
    count &= _MOST_U64
    if count > _MOST_RANDOM_BYTES:
        raise ValueError(f"{count} random bytes at once, at most {_MOST_RANDOM_BYTES}")
    here.answer_bytes(returned, here.guest.random(count))


def _random_number(here: _Here) -> int:
    return int.from_bytes(here.guest.random(8), "little", signed=True)


def _instant(nanoseconds: int) -> bytes:
    """WASI's record `datetime`."""
    return _INSTANT.pack(*divmod(nanoseconds, 10**9))


_MOST_U64 = 0xFFFFFFFFFFFFFFFF

_OWN: dict[tuple[str, str], Callable[..., int | None]] = {
    ("$root", "submit"): _submit,
    ("$root", "wait"): _wait,
    ("$root", "log"): _log,
    ("wasi:random/random", "get-random-bytes"): _random_bytes,
    ("wasi:random/random", "get-random-u64"): _random_number,
    ("wasi:random/insecure-seed", "insecure-seed"): lambda here, at: here.answer(at, here.guest.random(16)),
    ("wasi:clocks/wall-clock", "now"): lambda here, at: here.answer(at, _instant(here.now_ns)),
    ("wasi:clocks/wall-clock", "resolution"): lambda here, at: here.answer(at, _instant(here.guest.clock_step_ns)),
    ("wasi:clocks/monotonic-clock", "now"): lambda here: here.elapsed_ns,
    ("wasi:clocks/monotonic-clock", "resolution"): lambda here: here.guest.clock_step_ns,
    ("wasi:cli/environment", "get-environment"): lambda here, at: here.answer(at, _NO_LIST),
    ("wasi:cli/environment", "get-arguments"): lambda here, at: here.answer(at, _NO_LIST),
    ("wasi:cli/environment", "initial-cwd"): lambda here, at: here.answer(at, _NOTHING),
    ("wasi:filesystem/preopens", "get-directories"): lambda here, at: here.answer(at, _NO_LIST),
}
