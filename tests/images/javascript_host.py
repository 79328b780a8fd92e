"""A host for tests: drives the JavaScript guest's ABI (see its README) with wasmtime-py."""

import ctypes
import json
import struct
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import wasmtime
from wasmtime import _ffi as ffi

MIB = 1 << 20
WASM_STACK, THREAD_STACK = 4 * MIB, 12 * MIB
START_NS = 1_700_000_000_000_000_000
FINISHED, WAITS_FOR_CALLS = -2, -1
TOOL, FETCH = 1, 2


@cache
def engine() -> wasmtime.Engine:
    config = wasmtime.Config()
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), ctypes.c_size_t(2 * WASM_STACK))
    config.max_wasm_stack = WASM_STACK
    config.epoch_interruption = True
    return wasmtime.Engine(config)


@cache
def big_stack() -> ThreadPoolExecutor:
    """One thread with room for the guest's stack."""
    before = threading.stack_size(THREAD_STACK)
    pool = ThreadPoolExecutor(1)
    pool.submit(int).result()
    threading.stack_size(before)
    return pool


@dataclass(frozen=True)
class Call:
    id: int
    kind: int
    name: str
    payload: Any


@dataclass(frozen=True)
class Answer:
    payload: Any
    ok: bool = True


def failure(code: str = "upstream_error", message: str = "it broke", **fields: Any) -> Answer:
    known = {"status": None, "retryable": False, "tool": None, "details": None}
    return Answer({"code": code, "message": message, **known, **fields}, ok=False)


@dataclass
class Guest:
    """One isolate. `wait` is what the last export returned; `calls` and `logs` grow; `outcome` is (ok, JSON text)."""

    module: wasmtime.Module
    memory_bytes: int = 128 * MIB
    calls: list[Call] = field(default_factory=list)
    logs: list[tuple[int, str]] = field(default_factory=list)
    outcomes: list[tuple[bool, str]] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)
    now_ns: int = START_NS
    wait: int = 0

    def __post_init__(self) -> None:
        self.store = wasmtime.Store(engine())
        self.store.set_epoch_deadline(1 << 40)
        self.store.set_limits(memory_size=self.memory_bytes)
        self.exports = self._linker().instantiate(self.store, self.module).exports(self.store)

    def _linker(self) -> wasmtime.Linker:
        linker, i32 = wasmtime.Linker(engine()), wasmtime.ValType.i32()

        def define(name: str, arity: int, use: Callable[..., None]) -> None:
            def guarded(caller: wasmtime.Caller, *values: int) -> None:
                try:
                    use(caller["memory"], caller, *values)
                except BaseException as error:  # noqa: BLE001 nothing may leave a host function
                    self.failures.append(error)

            linker.define_func("lockgate", name, wasmtime.FuncType([i32] * arity, []), guarded, access_caller=True)

        def text(memory: wasmtime.Memory, caller: wasmtime.Caller, at: int, size: int) -> str:
            return memory.read(caller, at & 0xFFFFFFFF, (at & 0xFFFFFFFF) + size).decode()

        define(
            "submit",
            6,
            lambda m, c, i, k, n, nl, p, pl: self.calls.append(
                Call(i, k, text(m, c, n, nl), json.loads(text(m, c, p, pl)))
            ),
        )
        define("log", 3, lambda m, c, level, p, n: self.logs.append((level, text(m, c, p, n))))
        define("done", 3, lambda m, c, ok, p, n: self.outcomes.append((bool(ok), text(m, c, p, n))))
        return linker

    def _enter(self, name: str, data: bytes) -> int:
        def enter() -> int:
            at = self.exports["alloc"](self.store, len(data)) if data else 0
            self.exports["memory"].write(self.store, data, at) if data else None
            return int(self.exports[name](self.store, at, len(data), self.now_ns))

        self.wait = big_stack().submit(enter).result()
        if self.failures:
            raise self.failures[0]
        return self.wait

    def run(
        self,
        program: str,
        inputs: Any = None,
        *,
        seed: bytes = bytes(32),
        call_bytes: int = 1 << 20,
        log_line_bytes: int = 1 << 16,
        result_bytes: int = 1 << 20,
        number: int = 0,
    ) -> int:
        source, given = program.encode("utf-8", "surrogatepass"), json.dumps(inputs).encode()
        head = seed + struct.pack("<IIII", call_bytes, log_line_bytes, result_bytes, number)
        return self._enter(
            "run", head + struct.pack("<I", len(source)) + source + struct.pack("<I", len(given)) + given
        )

    def resume(self, call_id: int, answer: Answer, *, after_ns: int = 0) -> int:
        self.now_ns += after_ns
        payload = json.dumps(answer.payload, ensure_ascii=False).encode()
        return self._enter("resume", struct.pack("<IB", call_id, answer.ok) + payload)

    def tick(self, after_ns: int) -> int:
        self.now_ns += after_ns
        return self._enter("resume", b"")

    @property
    def finished(self) -> bool:
        return bool(self.outcomes)

    @property
    def ok(self) -> bool:
        return self.outcomes[0][0]

    @property
    def value(self) -> Any:
        ok, text = self.outcomes[0]
        assert ok, text
        return json.loads(text)

    @property
    def error(self) -> dict[str, Any]:
        ok, text = self.outcomes[0]
        assert not ok, text
        return json.loads(text)


def run_to_end(guest: Guest, answer: Callable[[Call], Answer] | None = None) -> Guest:
    """Answer calls in the order they were made and move time to the next timer until the program is done."""
    answered = 0
    for _ in range(10_000):
        if guest.wait == FINISHED:
            return guest
        if answered < len(guest.calls):
            call = guest.calls[answered]
            answered += 1
            assert answer is not None, f"unexpected call {call}"
            guest.resume(call.id, answer(call))
        else:
            assert guest.wait >= 0, "waits for calls that were all answered"
            guest.tick(guest.wait)
    raise AssertionError("the program does not end")


def load(image: Path) -> wasmtime.Module:
    return wasmtime.Module(engine(), image.read_bytes())
