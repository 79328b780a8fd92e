"""A test double of the host side of the Python guest's ABI: virtual time, scripted answers, everything recorded."""

import ctypes
import hashlib
import heapq
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import _bindings, _ffi, component

from sandboxes.images import image_path
from sandboxes.images.build import build_image

FOREVER = (1 << 64) - 1
START = 1_700_000_000_000_000_000
WASM_STACK = 8 << 20
_TICK_SECONDS = 0.05
_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))


@dataclass(frozen=True, kw_only=True)
class Reply:
    """A host call's answer: a value or an error object, `after` seconds of virtual time; `never`: none at all."""

    value: Any = None
    error: dict[str, Any] | None = None
    after: float = 0.001
    never: bool = False


@dataclass(frozen=True)
class Submitted:
    number: int
    kind: int
    name: str
    payload: Any


Handler = Callable[[Submitted], Reply]


class StoppedError(Exception):
    """The host ended the guest."""


@dataclass
class Host:
    """What one isolate sees of the world."""

    handler: Handler
    seed: bytes = b"seed"
    now: int = START
    logs: list[tuple[int, str]] = field(default_factory=list)
    submitted: list[Submitted] = field(default_factory=list)
    waits: list[int] = field(default_factory=list)
    random_calls: list[int] = field(default_factory=list)
    imports_called: list[str] = field(default_factory=list)
    failure: BaseException | None = None
    _events: list[tuple[int, int, int, int, str]] = field(default_factory=list)
    _counter: int = 0

    def submit(self, number: int, kind: int, name: str, payload: str) -> None:
        call = Submitted(number, kind, name, json.loads(payload))
        self.submitted.append(call)
        reply = self.handler(call)
        if reply.never:
            return
        body = json.dumps(reply.error if reply.error is not None else reply.value)
        due = self.now + int(reply.after * 1e9)
        heapq.heappush(self._events, (due, len(self.submitted), number, int(reply.error is None), body))

    def wait(self, timeout_ns: int) -> str:
        self.waits.append(timeout_ns)
        end = None if timeout_ns == FOREVER else self.now + timeout_ns
        if self._events and (end is None or self._events[0][0] <= end):
            due, _, number, ok, body = heapq.heappop(self._events)
            self.now = max(self.now, due)
            return f"{number} {ok}\n{body}"
        if end is None:
            raise StoppedError("the guest waits for ever")
        self.now = end
        return ""

    def random(self, count: int) -> bytes:
        self.random_calls.append(count)
        if count > 65536:
            raise ValueError(count)
        data = b""
        while len(data) < count:
            self._counter += 1
            data += hashlib.sha256(self.seed + self._counter.to_bytes(8, "little")).digest()
        return data[:count]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended: a result, an error object, or a trap's text."""

    ok: bool
    value: Any
    error: dict[str, Any] | None
    trap: str | None
    raw: str
    host: Host

    @property
    def lines(self) -> list[str]:
        return [text for _, text in self.host.logs]


_current = threading.local()


def _host() -> Host:
    host: Host = _current.host
    return host


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    # Nothing but Exception may leave a component host function: the library does not catch the rest.
    def call(_store: Any, *arguments: Any) -> Any:
        host = _host()
        if name not in host.imports_called:
            host.imports_called.append(name)
        try:
            return function(host, *arguments)
        except BaseException as error:  # noqa: BLE001 (nothing may leave a host function or thread)
            host.failure = error
            raise wasmtime.WasmtimeError(f"{name}: {error}") from None

    return call


def _value(byte: int) -> bytes:
    value = _bindings.wasmtime_component_val_t()
    value.kind = _ffi.WASMTIME_COMPONENT_U8
    value.of.u8 = byte
    return bytes(value)


_BYTES = [_value(byte) for byte in range(256)]


@_ffi.wasmtime_component_func_callback_t  # type: ignore[untyped-decorator]
def _random_bytes(_data: Any, _context: Any, _type: Any, arguments: Any, _n: Any, results: Any, _m: Any) -> int:
    # Raw, with prebuilt values: the library converts a list<u8> element by element.
    try:
        data = _host().random(arguments[0].of.u64)
        values = _bindings.wasmtime_component_vallist_t()
        _bindings.wasmtime_component_vallist_new_uninit(values, len(data))
        blob = b"".join([_BYTES[byte] for byte in data])
        ctypes.memmove(values.data, blob, len(blob))
        results[0].kind = _ffi.WASMTIME_COMPONENT_LIST
        results[0].of.list = values
    except BaseException as error:  # noqa: BLE001 (nothing may leave a host function or thread)
        _host().failure = error
        return ctypes.cast(_ffi.wasmtime_error_new(b"random refused"), ctypes.c_void_p).value or 0
    return 0


def _datetime(nanoseconds: int) -> component.Record:
    record = component.Record()
    record.seconds, record.nanoseconds = divmod(nanoseconds, 10**9)
    return record


def _u64(data: bytes) -> int:
    return int.from_bytes(data, "little")


_WASI: dict[str, dict[str, Callable[..., Any]]] = {
    "wasi:clocks/wall-clock": {
        "now": lambda host: _datetime(host.now),
        "resolution": lambda _host: _datetime(1_000_000),
    },
    "wasi:clocks/monotonic-clock": {
        "now": lambda host: host.now - START,
        "resolution": lambda _host: 1_000_000,
    },
    "wasi:cli/environment": {
        "get-environment": lambda _host: [],
        "get-arguments": lambda _host: [],
        "initial-cwd": lambda _host: None,
    },
    "wasi:filesystem/preopens": {"get-directories": lambda _host: []},
    "wasi:random/random": {"get-random-u64": lambda host: _u64(host.random(8))},
    "wasi:random/insecure-seed": {"insecure-seed": lambda host: (_u64(host.random(8)), _u64(host.random(8)))},
}


class Image:
    """A compiled guest image and the linker that answers its imports."""

    def __init__(self, wasm: Path, cache: Path) -> None:
        config = wasmtime.Config()
        config.wasm_component_model = True
        config.epoch_interruption = True
        _ffi.wasmtime_config_async_stack_size_set(config.ptr(), 2 * WASM_STACK)
        config.max_wasm_stack = WASM_STACK
        self.engine = wasmtime.Engine(config)
        self.component = self._load(wasm, cache)
        self._linker = self._link()
        self._stop = threading.Event()
        self._ticker = threading.Thread(target=self._tick, daemon=True)
        self._ticker.start()

    def close(self) -> None:
        self._stop.set()
        self._ticker.join()

    def isolate(self, host: Host, *, memory: int = 256 << 20) -> "Isolate":
        store = wasmtime.Store(self.engine)
        store.set_limits(memory_size=memory)
        store.set_epoch_deadline(1 << 40)
        _current.host = host
        function = self._linker.instantiate(store, self.component).get_func(store, "run")
        assert function is not None
        return Isolate(store, function, host)

    def run(self, code: str, **options: Any) -> Outcome:
        """Run a program in a fresh isolate on a thread with a stack of its own; see `run_isolate`."""
        box: list[Outcome | BaseException] = []

        def body() -> None:
            try:
                box.append(self._run(code, **options))
            except BaseException as error:  # noqa: BLE001 (nothing may leave a host function or thread)
                box.append(error)

        previous = threading.stack_size(WASM_STACK + (8 << 20))
        try:
            thread = threading.Thread(target=body)
            thread.start()
        finally:
            threading.stack_size(previous)
        thread.join()
        if isinstance(box[0], BaseException):
            raise box[0]
        return box[0]

    def _run(
        self,
        code: str,
        *,
        handler: Handler = lambda _call: Reply(),
        seed: bytes = b"seed",
        warm: bool = True,
        memory: int = 256 << 20,
        seconds: float = 20,
        **request: Any,
    ) -> Outcome:
        isolate = self.isolate(Host(handler, seed=seed), memory=memory)
        if warm:
            isolate.warm()
        return isolate.run(code, seconds=seconds, **request)

    def _load(self, wasm: Path, cache: Path) -> component.Component:
        data = wasm.read_bytes()
        compiled = cache / f"python-{hashlib.sha256(data).hexdigest()[:16]}-{version('wasmtime')}.cwasm"
        if not compiled.exists():
            cache.mkdir(parents=True, exist_ok=True)
            for old in cache.glob("python-*.cwasm"):
                old.unlink(missing_ok=True)
            part = compiled.with_suffix(f".{threading.get_native_id()}")
            part.write_bytes(component.Component(self.engine, data).serialize())
            part.replace(compiled)
        return component.Component.deserialize_file(self.engine, str(compiled))

    def _link(self) -> component.Linker:
        linker = component.Linker(self.engine)
        linker.allow_shadowing = True
        linker.define_unknown_imports_as_traps(self.component)
        imports = list(self.component.type.imports(self.engine))
        with linker.root() as root:
            root.add_func("submit", _guarded("submit", Host.submit))
            root.add_func("wait", _guarded("wait", Host.wait))
            root.add_func("log", _guarded("log", lambda host, level, text: host.logs.append((level, text))))
            for name in imports:
                functions = _WASI.get(name.partition("@")[0])
                if functions is None:
                    continue
                with root.add_instance(name) as instance:
                    for key, function in functions.items():
                        instance.add_func(key, _guarded(f"{name}#{key}", function))
                    if name.startswith("wasi:random/random@"):
                        _add_raw(instance, "get-random-bytes", _random_bytes)
        return linker

    def _tick(self) -> None:
        while not self._stop.wait(_TICK_SECONDS):
            self.engine.increment_epoch()


def _add_raw(instance: Any, name: str, callback: Any) -> None:
    data = name.encode()
    error = _ffi.wasmtime_component_linker_instance_add_func(
        instance.ptr(), ctypes.create_string_buffer(data), len(data), callback, 0, _NO_FINALIZER
    )
    assert not error


class Isolate:
    """One instance; `run` may be called once after an optional `warm`."""

    def __init__(self, store: wasmtime.Store, function: component.Func, host: Host) -> None:
        self._store = store
        self._function = function
        self.host = host

    def warm(self) -> None:
        """The neutral call ahead of the real one, answered by a host of its own."""
        real, self.host = self.host, Host(self.host.handler, seed=b"warm", now=START - 10**9)
        _current.host = self.host
        assert self._call(_request("None")) == "1null"
        assert not self.host.logs
        self.host = real

    def run(self, code: str, *, seconds: float = 20, **request: Any) -> Outcome:
        _current.host = self.host
        self._store.set_epoch_deadline(max(1, int(seconds / _TICK_SECONDS)))
        try:
            raw = self._call(_request(code, **request))
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            return Outcome(ok=False, value=None, error=None, trap=str(error), raw="", host=self.host)
        finally:
            self._store.close()
        body = json.loads(raw[1:])
        if raw[0] == "1":
            return Outcome(ok=True, value=body, error=None, trap=None, raw=raw, host=self.host)
        return Outcome(ok=False, value=None, error=body, trap=None, raw=raw, host=self.host)

    def _call(self, request: str) -> str:
        answer: str = self._function(self._store, request)
        self._function.post_return(self._store)
        return answer


def _request(code: str, *, inputs: Any = None, **limits: int) -> str:
    fields: dict[str, Any] = {
        "code": code,
        "inputs": json.dumps(inputs),
        "max_call_bytes": 1 << 20,
        "max_log_line_bytes": 4096,
        "max_result_bytes": 1 << 20,
    }
    return json.dumps({**fields, **limits})


@pytest.fixture(scope="session")
def python() -> Iterator[Image]:
    """The built image, built first if it is missing."""
    wasm = image_path("python")
    if not wasm.exists():
        build_image("python")
    image = Image(wasm, Path(__file__).parents[2] / ".lockgate" / "test-images")
    yield image
    image.close()


def echo(call: Submitted) -> Reply:
    """Answer every call with what was asked."""
    return Reply(value={"name": call.name, "arguments": call.payload})
