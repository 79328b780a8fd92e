"""The Wasmtime engine every isolate of a process shares, and the timer that ticks its epochs."""

import ctypes
import threading

import wasmtime
from wasmtime import _ffi as ffi

TICK_NS = 4_000_000
"""Between two epochs: how late a limit is noticed, and how long a turn in a run slot lasts."""

WASM_STACK_BYTES = 8 << 20
THREAD_STACK_BYTES = 16 << 20
"""A guest's thread needs at least the wasm stack and 4 MiB more, or overflow takes the process down."""

_CLOCK_MONOTONIC = 1
_SIGEV_THREAD = 2

if THREAD_STACK_BYTES < WASM_STACK_BYTES + (4 << 20):
    raise AssertionError("a guest's thread stack is too small for the wasm stack")


def make_engine(*, fuel: bool = False) -> wasmtime.Engine:
    """An engine with epoch interruption and a stack deep enough for ordinary recursion; with `fuel` it counts.

    Keep it for the life of the process: dropping it while a ticker runs is a use after free.
    """
    config = wasmtime.Config()
    config.epoch_interruption = True
    # The asynchronous stack has to be larger before the synchronous one may grow.
    ffi.wasmtime_config_async_stack_size_set(config.ptr(), 2 * WASM_STACK_BYTES)
    config.max_wasm_stack = WASM_STACK_BYTES
    config.wasm_threads = False
    config.consume_fuel = fuel
    return wasmtime.Engine(config)


class _SigVal(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("pointer", ctypes.c_void_p))


class _SigEvent(ctypes.Structure):
    _fields_ = (
        ("value", _SigVal),
        ("signo", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("padding", ctypes.c_char * 64),
    )


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


class Ticker:
    """Increments the engine's epoch every `TICK_NS` while at least one guest runs.

    The POSIX timer calls Wasmtime's own function, so a tick needs no GIL. Timers do not survive a
    fork: make one in each process.
    """

    def __init__(self, engine: wasmtime.Engine) -> None:
        self._engine = engine
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._lock = threading.Lock()
        self._running = 0
        event = _SigEvent()
        event.notify = _SIGEV_THREAD
        event.function = ctypes.cast(ffi.dll.wasmtime_engine_increment_epoch, ctypes.c_void_p).value
        event.value.pointer = ctypes.cast(engine.ptr(), ctypes.c_void_p).value
        self._timer = ctypes.c_void_p()
        if self._libc.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)):
            raise OSError(ctypes.get_errno(), "timer_create failed")
        self._on = _TimerSpec(_TimeSpec(0, TICK_NS), _TimeSpec(0, TICK_NS))
        self._off = _TimerSpec()

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1
            if self._running == 1:
                self._set(self._on)

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1
            if self._running == 0:
                self._set(self._off)

    def _set(self, spec: _TimerSpec) -> None:
        if self._libc.timer_settime(self._timer, 0, ctypes.byref(spec), None):
            raise OSError(ctypes.get_errno(), "timer_settime failed")
