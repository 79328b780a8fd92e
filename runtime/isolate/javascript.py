"""The JavaScript image: a snapshotted QuickJS core module, driven by `run` and `resume`."""

import struct
from typing import Any

import wasmtime

from runtime.isolate.channel import Event
from runtime.isolate.guest import FOREVER_NS, MOST_ERROR_BYTES, Guest
from runtime.isolate.isolate import WARM_FUEL, Current, Isolate, is_reusable, settle, warming_guest
from runtime.isolate.native import CoreMemory, Exports, GuestStopped, define_core, unwatch, watch_epochs
from runtime.isolate.outcome import Outcome

_FINISHED = -2
_ONLY_CALLS = -1
_HEADER = struct.Struct("<32sIIIII")
_LENGTH = struct.Struct("<I")
_EVENT = struct.Struct("<IB")
_I32 = wasmtime.ValType.i32


class JavaScriptImage:
    """A compiled image with its host functions linked; makes isolates."""

    def __init__(self, engine: wasmtime.Engine, module: wasmtime.Module, *, fuel: bool = False) -> None:
        self.fuel = fuel
        self.engine = engine
        self._linker = wasmtime.Linker(engine)
        self._current = Current()
        self._keep = [
            self._define("submit", 6, self._submit),
            self._define("log", 3, self._log),
            self._define("done", 3, self._done),
        ]
        self._pre = self._linker.instantiate_pre(module)

    def _define(self, name: str, parameters: int, call: Any) -> object:
        return define_core(self._linker, "lockgate", name, [_I32()] * parameters, call)

    def isolate(self) -> Isolate:
        """A fresh instance, not yet bound to an execution."""
        return _JavaScriptIsolate(self.engine, self._pre, self._current, fuel=self.fuel)

    def _memory(self) -> tuple[Guest, CoreMemory, "_JavaScriptIsolate"]:
        isolate = self._current.isolate
        return isolate.guest, isolate.memory, isolate

    def _submit(self, args: Any) -> None:
        guest, memory, isolate = self._memory()
        name_length, length = args[3].of.i32 & _U32, args[5].of.i32 & _U32
        if length > guest.limits.call_bytes + _SLACK or name_length > _SLACK:
            payload, name = "x" * (guest.limits.call_bytes + 1), ""
        else:
            name = memory.read(args[2].of.i32, name_length).decode(errors="replace")
            payload = memory.read(args[4].of.i32, length).decode(errors="replace")
        guest.submit(args[0].of.i32, args[1].of.i32, name, payload)
        isolate.stop_if_ended()

    def _log(self, args: Any) -> None:
        guest, memory, isolate = self._memory()
        length = min(args[2].of.i32 & _U32, guest.limits.log_line_bytes)
        guest.log(args[0].of.i32, memory.read(args[1].of.i32, length).decode(errors="replace"))
        isolate.stop_if_ended()

    def _done(self, args: Any) -> None:
        guest, memory, _ = self._memory()
        most = max(guest.limits.result_bytes, MOST_ERROR_BYTES) + _SLACK
        if guest.answer is None:
            text = memory.read(args[1].of.i32, min(args[2].of.i32 & _U32, most)).decode(errors="replace")
            guest.answer = (args[0].of.i32 == 1, text)


_SLACK = 64 << 10
# Wasm's integers come signed; lengths and pointers are not.
_U32 = 0xFFFFFFFF


class _JavaScriptIsolate:
    def __init__(self, engine: wasmtime.Engine, pre: wasmtime.InstancePre, current: Current, *, fuel: bool) -> None:
        self._fuel = fuel
        self.reusable = True
        self.guest: Guest | None = None
        self._current = current
        self._store = store = wasmtime.Store(engine)
        if fuel:
            store.set_fuel(WARM_FUEL)
        self._watch = watch_epochs(store, self._tick)
        exports = Exports(store, pre.instantiate(store))
        self.memory = exports.memory()
        self._alloc = exports.function("alloc", 1)
        self._run = exports.function("run", 3)
        self._resume = exports.function("resume", 3)

    def _tick(self) -> bool:
        return self.guest is None or self.guest.tick()

    def stop_if_ended(self) -> None:
        """On the guest's thread: make an ended guest stop at its next check instead of the next tick."""
        if self.guest is not None and self.guest.ending is not None:
            self._store.set_epoch_deadline(0)

    def warm(self) -> None:
        self._bind(warming_guest())
        assert self.guest is not None
        self._drive(self.guest, b"0", b"null", 0)

    def _bind(self, guest: Guest) -> None:
        self.guest = guest
        self._current.isolate = self
        self._store.set_limits(memory_size=guest.limits.memory_bytes)
        self._store.set_epoch_deadline(1)
        if self._fuel:
            self._store.set_fuel(guest.limits.fuel)

    def run(self, guest: Guest, program: str, inputs: str, position: int = 0) -> Outcome:
        trapped = overflow = self.reusable = False
        try:
            self._bind(guest)
            self._drive(guest, program.encode(errors="replace"), inputs.encode(errors="replace"), position)
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
            memory_bytes=self.memory.size(),
            memory_exact=True,
        )
        self.reusable = is_reusable(guest, outcome, trapped=trapped)
        return outcome

    def _drive(self, guest: Guest, program: bytes, inputs: bytes, position: int) -> None:
        limits = guest.limits
        header = _HEADER.pack(
            guest.seed, limits.call_bytes, limits.log_line_bytes, limits.result_bytes, position, len(program)
        )
        request = b"".join((header, program, _LENGTH.pack(len(inputs)), inputs))
        wait = self._run.call_buffer(self._put(request), len(request), guest.now_ns)
        while wait != _FINISHED and guest.ending is None:
            event = guest.wait(FOREVER_NS if wait == _ONLY_CALLS else wait)
            if guest.ending is not None:
                return
            data = b"" if event is None else _pack(event)
            wait = self._resume.call_buffer(self._put(data) if data else 0, len(data), guest.now_ns)

    def _put(self, data: bytes) -> int:
        pointer = self._alloc.call32(len(data))
        if pointer == 0:
            raise GuestStopped(stack_overflow=False)
        self.memory.write(pointer, data)
        return pointer

    def close(self) -> None:
        unwatch(self._watch)
        self._store.close()


def _pack(event: Event) -> bytes:
    return _EVENT.pack(event.call_id & 0xFFFFFFFF, event.ok) + event.payload.encode(errors="replace")
