"""Wasmtime's C API where its Python face is too slow or lacks a function. The only file that touches it.

Host functions here let nothing out: the Python library keeps an escaped exception in a process-wide global,
where another thread's call would raise it.
"""

import ctypes
import itertools
import logging
from collections.abc import Callable
from typing import Any

import wasmtime
from wasmtime import _bindings as bindings
from wasmtime import _ffi as ffi

log = logging.getLogger(__name__)

Interrupted = Callable[[], bool]

_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
_EPOCH_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_size_t,
    ctypes.POINTER(bindings.wasmtime_context_t),
    ctypes.c_void_p,
    ctypes.POINTER(ctypes.c_uint64),
    ctypes.POINTER(bindings.wasmtime_update_deadline_kind_t),
)
_checks: dict[int, Interrupted] = {}
_check_ids = itertools.count(1)


@_EPOCH_CALLBACK  # type: ignore[untyped-decorator]
def _on_epoch(_context: Any, key: int, delta: Any, kind: Any) -> int:
    try:
        check = _checks.get(key)
        if check is not None and check():
            delta[0] = 1
            kind[0] = 0
            return 0
    except BaseException:
        log.exception("an epoch check failed; its guest is stopped")
    return ctypes.cast(ffi.wasmtime_error_new(b"stopped by the host"), ctypes.c_void_p).value or 0


def watch_epochs(store: wasmtime.Store, check: Interrupted) -> int:
    """Call `check` on the guest's thread at each epoch; false stops the guest. Returns the key for `unwatch`."""
    key = next(_check_ids)
    _checks[key] = check
    ffi.wasmtime_store_epoch_deadline_callback(store.ptr(), _on_epoch, key, _NO_FINALIZER)
    store.set_epoch_deadline(1)
    return key


def unwatch(key: int) -> None:
    """Forget a check; its store must not run any more."""
    _checks.pop(key, None)


def trap_is_stack_overflow(trap: Any) -> bool:
    """Whether a raw trap says that the wasm stack was exhausted."""
    code = ctypes.c_uint8(255)
    overflow = wasmtime.TrapCode.STACK_OVERFLOW.value
    return bool(ffi.wasmtime_trap_code(trap, ctypes.byref(code))) and code.value == overflow


class CoreFunction:
    """An exported function of a core module, called without the library's conversions. Integers only."""

    def __init__(self, context: Any, function: Any, slots: int) -> None:
        self._context = context
        self._function = ctypes.byref(function)
        self._values = (ffi.wasmtime_val_raw_t * slots)()
        self._slots = slots

    def call32(self, *args: int) -> int:
        """Call; every argument and the result are i32."""
        values = self._values
        for index, value in enumerate(args):
            values[index].i32 = value
        self._enter()
        return int(values[0].i32)

    def call_buffer(self, pointer: int, length: int, now_ns: int) -> int:
        """Call a function of shape (i32, i32, i64) -> i64."""
        values = self._values
        values[0].i32 = pointer
        values[1].i32 = length
        values[2].i64 = now_ns
        self._enter()
        return int(values[0].i64)

    def _enter(self) -> None:
        trap = ctypes.POINTER(ffi.wasm_trap_t)()
        error = ffi.wasmtime_func_call_unchecked(
            self._context, self._function, self._values, self._slots, ctypes.byref(trap)
        )
        if trap:
            overflow = trap_is_stack_overflow(trap)
            ffi.wasm_trap_delete(trap)
            raise GuestStopped(stack_overflow=overflow)
        if error:
            raise GuestStopped(stack_overflow=_error_is_stack_overflow(error))


class GuestStopped(Exception):  # noqa: N818 - not an error of ours
    """Wasm ended by a trap. Why is for the host's own record to tell, except for the stack."""

    def __init__(self, *, stack_overflow: bool) -> None:
        super().__init__("the guest trapped")
        self.stack_overflow = stack_overflow


def _error_is_stack_overflow(error: Any) -> bool:
    text = str(wasmtime.WasmtimeError._from_ptr(error))
    return "call stack exhausted" in text


def define_core(
    linker: wasmtime.Linker, module: str, name: str, params: list[wasmtime.ValType], call: Callable[[Any], None]
) -> object:
    """Define a host function without results; `call` gets the raw argument array. Keep what is returned alive.

    Whatever `call` raises, for a pointer outside the memory say, ends the guest with a trap, and goes no further.
    """

    def raw(_env: Any, _caller: Any, args: Any, _nargs: int, _results: Any, _nresults: int) -> int:
        try:
            call(args)
        except BaseException:
            log.warning("host function %s stopped its guest", name, exc_info=True)
            return _refusal()
        return 0

    callback = ffi.wasmtime_func_callback_t(raw)
    function_type = wasmtime.FuncType(params, [])
    error = ffi.wasmtime_linker_define_func(
        linker.ptr(),
        module.encode(),
        len(module),
        name.encode(),
        len(name),
        function_type.ptr(),
        callback,
        0,
        _NO_FINALIZER,
    )
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)
    return callback


def _refusal() -> int:
    """The address of a trap; whom it is returned to frees it."""
    return ctypes.cast(ffi.wasmtime_trap_new(b"refused by the host", 19), ctypes.c_void_p).value or 0


def define_values(
    linker: wasmtime.Linker, module: str, name: str, kind: wasmtime.FuncType, call: Callable[..., float | None]
) -> object:
    """Define a host function of numbers with at most one result. Keep what is returned alive.

    Integers are signed. Whatever `call` raises ends the caller with a trap, and goes no further.
    """
    fields = tuple(str(parameter) for parameter in kind.params)
    result_field = str(kind.results[0]) if kind.results else ""

    def raw(_env: Any, _caller: Any, values: Any, _count: int) -> int:
        try:
            result = call(*[getattr(values[index], field) for index, field in enumerate(fields)])
            if result is not None:
                setattr(values[0], result_field, result)
        except GuestStopped:
            pass  # in its own allocator, called back by the host: why, its record says
        except BaseException:
            log.info("host function %s ended its caller", name, exc_info=True)
        else:
            return 0
        return _refusal()

    callback = ffi.wasmtime_func_unchecked_callback_t(raw)
    error = ffi.wasmtime_linker_define_func_unchecked(
        linker.ptr(),
        module.encode(),
        len(module),
        name.encode(),
        len(name),
        kind.ptr(),
        callback,
        0,
        _NO_FINALIZER,
    )
    if error:
        raise wasmtime.WasmtimeError._from_ptr(error)
    return callback


class CoreMemory:
    """The linear memory of a core instance, with every access checked against its present size."""

    def __init__(self, context: Any, memory: Any) -> None:
        self._context = context
        self._memory = ctypes.byref(memory)

    def size(self) -> int:
        """Bytes; memory never shrinks, so at the end this is the peak."""
        return int(ffi.wasmtime_memory_data_size(self._context, self._memory))

    def _address(self, pointer: int, length: int) -> int:
        pointer &= 0xFFFFFFFF
        if length < 0 or pointer + length > self.size():
            raise ValueError("a guest pointer lies outside its memory")
        base = ffi.wasmtime_memory_data(self._context, self._memory)
        return ctypes.addressof(base.contents) + pointer

    def read(self, pointer: int, length: int) -> bytes:
        """Copy out. Raises ValueError outside the memory."""
        return ctypes.string_at(self._address(pointer, length), length) if length else b""

    def write(self, pointer: int, data: bytes) -> None:
        """Copy in. Raises ValueError outside the memory."""
        ctypes.memmove(self._address(pointer, len(data)), data, len(data))


class Exports:
    """What an instance exports, looked up one by one: the library makes objects of all, and each takes 5 us."""

    def __init__(self, store: wasmtime.Store, instance: wasmtime.Instance) -> None:
        self._context = store._context()
        self._instance = ctypes.byref(instance._instance)

    def _find(self, name: str, kind: int) -> Any:
        found: Any = ffi.wasmtime_extern_t()
        data = name.encode()
        there = ffi.wasmtime_instance_export_get(self._context, self._instance, data, len(data), ctypes.byref(found))
        if not there or found.kind != kind:
            raise KeyError(f"the image has no such export: {name}")
        return found.of

    def function(self, name: str, slots: int) -> CoreFunction:
        """A function; `slots` is the larger of the numbers of its parameters and results. Raises KeyError."""
        return CoreFunction(self._context, self._find(name, ffi.WASMTIME_EXTERN_FUNC.value).func, slots)

    def memory(self) -> CoreMemory:
        """The memory. Raises KeyError."""
        return CoreMemory(self._context, self._find("memory", ffi.WASMTIME_EXTERN_MEMORY.value).memory)
