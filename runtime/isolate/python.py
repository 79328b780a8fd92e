"""The Python image: a snapshotted CPython component that waits inside its host calls."""

import json
from typing import Any

import wasmtime
from wasmtime import component

from runtime.isolate.absent import define_absent
from runtime.isolate.guest import FOREVER_NS, Guest
from runtime.isolate.isolate import WARM_FUEL, Current, Isolate, checked_answer, settle, warming_guest
from runtime.isolate.native import (
    CountFunction,
    GuestStopped,
    call_component,
    contained,
    define_bytes_source,
    unwatch,
    watch_epochs,
)
from runtime.isolate.outcome import Outcome

_MOST_RANDOM_BYTES = 65_536
_PAGE_BYTES = 64 << 10


class PythonImage:
    """A compiled component with its host functions and the WASI imports it may use; makes isolates."""

    def __init__(self, engine: wasmtime.Engine, guest: component.Component, *, fuel: bool = False) -> None:
        self.fuel = fuel
        self.engine = engine
        self._component = guest
        self._current = Current()
        self._linker = component.Linker(engine)
        self._linker.allow_shadowing = True
        self._linker.define_unknown_imports_as_traps(guest)
        self._keep: list[object] = []
        with self._linker.root() as root:
            root.add_func("submit", contained(self._submit))
            root.add_func("wait", contained(self._wait))
            root.add_func("log", contained(self._log))
            for name, extern in guest.type.imports(engine).items():
                if isinstance(kind := extern.ty, component.ComponentInstanceType):
                    self._define_wasi(root, name, kind)
        self._run_index = guest.get_export_index("run")
        # Of a module that the build adds and no program reaches; an image built earlier has none.
        self._pages_index = guest.get_export_index("memory-pages")

    def isolate(self) -> Isolate:
        """A fresh instance, not yet bound to an execution."""
        return _PythonIsolate(
            self.engine,
            self._linker,
            self._component,
            (self._run_index, self._pages_index),
            self._current,
            fuel=self.fuel,
        )

    def _define_wasi(self, root: component.LinkerInstance, name: str, kind: component.ComponentInstanceType) -> None:
        base = name.partition("@")[0]
        with root.add_instance(name) as instance:
            define_absent(instance, base, kind, self._reached, self.engine)
            if base == "wasi:random/random":
                self._keep.append(define_bytes_source(instance, "get-random-bytes", self._random, _MOST_RANDOM_BYTES))
                instance.add_func("get-random-u64", contained(lambda _: int.from_bytes(self._random(8), "little")))
            for function, call in _WASI.get(base, {}).items():
                instance.add_func(function, contained(lambda _, *args, call=call: call(self._guest(), *args)))

    def _reached(self, what: str) -> None:
        self._guest().reached = what

    def _guest(self) -> Guest:
        return self._current.guest

    def _random(self, count: int) -> bytes:
        return self._guest().random(count)

    def _submit(self, _: Any, call_id: int, kind: int, name: str, payload: str) -> None:
        try:
            self._guest().submit(call_id, kind, name, payload)
        finally:
            self._stop_if_ended()

    def _wait(self, _: Any, timeout_ns: int) -> str:
        guest = self._guest()
        event = guest.wait(min(timeout_ns, FOREVER_NS))
        self._stop_if_ended()
        return "" if event is None else f"{event.call_id} {int(event.ok)}\n{event.payload}"

    def _log(self, _: Any, level: int, text: str) -> None:
        self._guest().log(level, text)
        self._stop_if_ended()

    def _stop_if_ended(self) -> None:
        if self._guest().ending is not None:
            self._current.isolate.stop_soon()


def _datetime(nanoseconds: int) -> component.Record:
    """WASI's record of the same name."""
    record = component.Record()
    seconds, rest = divmod(nanoseconds, 10**9)
    vars(record).update(seconds=seconds, nanoseconds=rest)
    return record


def _wall_clock(guest: Guest) -> component.Record:
    return _datetime(guest.now_ns)


def _resolution(guest: Guest) -> component.Record:
    return _datetime(guest.clock_step_ns)


def _seed_pair(guest: Guest) -> tuple[int, int]:
    data = guest.random(16)
    return int.from_bytes(data[:8], "little"), int.from_bytes(data[8:], "little")


_WASI: dict[str, dict[str, Any]] = {
    "wasi:clocks/wall-clock": {"now": _wall_clock, "resolution": _resolution},
    "wasi:clocks/monotonic-clock": {
        "now": lambda guest: guest.now_ns - guest.start_ns,
        "resolution": lambda guest: guest.clock_step_ns,
    },
    "wasi:cli/environment": {
        "get-environment": lambda _: [],
        "get-arguments": lambda _: [],
        "initial-cwd": lambda _: None,
    },
    "wasi:filesystem/preopens": {"get-directories": lambda _: []},
    "wasi:random/insecure-seed": {"insecure-seed": _seed_pair},
}


class _PythonIsolate:
    def __init__(  # noqa: PLR0913 - the parts of an instance
        self,
        engine: wasmtime.Engine,
        linker: component.Linker,
        guest: component.Component,
        exports: tuple[Any, Any],
        current: Current,
        *,
        fuel: bool,
    ) -> None:
        self._fuel = fuel
        self._guest: Guest | None = None
        self._current = current
        self._store = store = wasmtime.Store(engine)
        if fuel:
            store.set_fuel(WARM_FUEL)
        self._watch = watch_epochs(store, self._tick)
        instance = linker.instantiate(store, guest)
        run_index, pages_index = exports
        run = instance.get_func(store, run_index)
        assert run is not None
        self._run = run
        pages = None if pages_index is None else instance.get_func(store, pages_index)
        self._pages = None if pages is None else CountFunction(store, pages)

    def _tick(self) -> bool:
        return self._guest is None or self._guest.tick()

    def warm(self) -> None:
        self._call(warming_guest(), "None", "null")

    def run(self, guest: Guest, program: str, inputs: str) -> Outcome:
        self._store.set_limits(memory_size=guest.limits.memory_bytes)
        trapped = overflow = False
        try:
            answer = self._call(guest, program, inputs)
            guest.answer = checked_answer(answer[:1] == "1", answer[1:], guest.limits)
        except GuestStopped as stopped:
            trapped, overflow = True, stopped.stack_overflow
        if self._fuel:
            guest.fuel_left = self._store.get_fuel()
        memory = 0 if trapped else self._memory_bytes()
        return settle(
            guest,
            trapped=trapped,
            stack_overflow=overflow,
            memory_bytes=memory,
            memory_exact=memory > 0,
        )

    def _memory_bytes(self) -> int:
        """The memory's size, which never shrinks and so is the peak; 0 if it cannot be told."""
        # The time is over for the program, not for this.
        self._guest = None
        try:
            return 0 if self._pages is None else self._pages.call() * _PAGE_BYTES
        except GuestStopped:
            return 0

    def _call(self, guest: Guest, program: str, inputs: str) -> str:
        self._guest = self._current.guest = guest
        self._current.isolate = self
        limits = guest.limits
        request = {
            "code": program,
            "inputs": inputs,
            "max_call_bytes": limits.call_bytes,
            "max_log_line_bytes": limits.log_line_bytes,
            "max_result_bytes": limits.result_bytes,
        }
        self._store.set_epoch_deadline(1)
        if self._fuel:
            self._store.set_fuel(limits.fuel)
        return call_component(self._run, self._store, json.dumps(request))

    def stop_soon(self) -> None:
        """On the guest's thread: stop at the next check instead of the next tick."""
        self._store.set_epoch_deadline(0)

    def close(self) -> None:
        unwatch(self._watch)
        self._store.close()
