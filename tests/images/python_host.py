"""A test double of the host side of the Python guest's ABI: virtual time, scripted answers, everything recorded."""

import hashlib
import heapq
import json
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from wasmtime import _ffi

from sandboxes.images import image_path
from sandboxes.images.build import build_image

FOREVER = (1 << 64) - 1
START = 1_700_000_000_000_000_000
WASM_STACK = 8 << 20
_TICK_SECONDS = 0.05


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


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        host = _current.isolate.host
        if name not in host.imports_called:
            host.imports_called.append(name)
        try:
            return function(_current.isolate, *arguments)
        except BaseException as error:  # noqa: BLE001 - the test looks at it afterwards
            host.failure = error
            raise wasmtime.WasmtimeError(f"{name}: {error}") from None

    return call


def _instant(nanoseconds: int) -> bytes:
    return struct.pack("<QI", *divmod(nanoseconds, 10**9))


# By interface and name: the isolate and the flat arguments in, the flat result out. The last argument of a function
# whose result is not one number says where to write it.
_HOST: dict[tuple[str, str], Callable[..., Any]] = {
    ("$root", "submit"): lambda here, number, kind, *parts: here.host.submit(
        number, kind, here.text(*parts[:2]), here.text(*parts[2:])
    ),
    ("$root", "wait"): lambda here, timeout, at: here.give(at, here.host.wait(timeout & FOREVER).encode()),
    ("$root", "log"): lambda here, level, *text: here.host.logs.append((level, here.text(*text))),
    ("wasi:clocks/wall-clock", "now"): lambda here, at: here.write(at, _instant(here.host.now)),
    ("wasi:clocks/wall-clock", "resolution"): lambda here, at: here.write(at, _instant(1_000_000)),
    ("wasi:clocks/monotonic-clock", "now"): lambda here: here.host.now - START,
    ("wasi:clocks/monotonic-clock", "resolution"): lambda _here: 1_000_000,
    ("wasi:cli/environment", "get-environment"): lambda here, at: here.write(at, bytes(8)),
    ("wasi:cli/environment", "get-arguments"): lambda here, at: here.write(at, bytes(8)),
    ("wasi:filesystem/preopens", "get-directories"): lambda here, at: here.write(at, bytes(8)),
    ("wasi:random/random", "get-random-bytes"): lambda here, count, at: here.give(at, here.host.random(count)),
}


def on_deep_stack[T](work: Callable[[], T]) -> T:
    """What `work` returns, done on a thread with the stack that guests want."""
    box: list[T] = []
    failures: list[BaseException] = []

    def body() -> None:
        try:
            box.append(work())
        except BaseException as error:  # noqa: BLE001 (nothing may leave a host function or thread)
            failures.append(error)

    previous = threading.stack_size(WASM_STACK + (8 << 20))
    try:
        thread = threading.Thread(target=body)
        thread.start()
    finally:
        threading.stack_size(previous)
    thread.join()
    if failures:
        raise failures[0]
    return box[0]


class Image:
    """A compiled guest image and the linker that answers its imports."""

    def __init__(self, wasm: Path, cache: Path) -> None:
        config = wasmtime.Config()
        config.epoch_interruption = True
        _ffi.wasmtime_config_async_stack_size_set(config.ptr(), 2 * WASM_STACK)
        config.max_wasm_stack = WASM_STACK
        self.engine = wasmtime.Engine(config)
        self.module = self._load(wasm, cache)
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
        return Isolate(store, self._linker.instantiate(store, self.module), host)

    def run(self, code: str, **options: Any) -> Outcome:
        """Run a program in a fresh isolate on a thread with a stack of its own; see `run_isolate`."""
        return on_deep_stack(lambda: self._run(code, **options))

    def session(self, handler: Handler = lambda _call: Reply()) -> "Session":
        """A warmed isolate for several programs."""
        return Session(on_deep_stack(lambda: self._warmed(handler)))

    def _warmed(self, handler: Handler) -> "Isolate":
        isolate = self.isolate(Host(handler))
        isolate.warm()
        return isolate

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

    def _load(self, wasm: Path, cache: Path) -> wasmtime.Module:
        data = wasm.read_bytes()
        compiled = cache / f"python-{hashlib.sha256(data).hexdigest()[:16]}-{version('wasmtime')}.cwasm"
        if not compiled.exists():
            cache.mkdir(parents=True, exist_ok=True)
            for old in cache.glob("python-*.cwasm"):
                old.unlink(missing_ok=True)
            part = compiled.with_suffix(f".{threading.get_native_id()}")
            part.write_bytes(wasmtime.Module(self.engine, data).serialize())
            part.replace(compiled)
        return wasmtime.Module.deserialize_file(self.engine, str(compiled))

    def _link(self) -> wasmtime.Linker:
        linker = wasmtime.Linker(self.engine)
        linker.allow_shadowing = True
        linker.define_unknown_imports_as_traps(self.module)
        for each in self.module.imports:
            function = _HOST.get((each.module.partition("@")[0], each.name))
            if function is not None:
                linker.define_func(each.module, each.name, each.type, _guarded(f"{each.module}#{each.name}", function))
        return linker

    def _tick(self) -> None:
        while not self._stop.wait(_TICK_SECONDS):
            self.engine.increment_epoch()


class Isolate:
    """One instance; `run` may be called once after an optional `warm`, and again in a session."""

    def __init__(self, store: wasmtime.Store, instance: wasmtime.Instance, host: Host) -> None:
        exports = instance.exports(store)
        self._store = store
        self._memory: Any = exports["memory"]
        self._realloc: Any = exports["realloc"]
        self._function: Any = exports["run"]
        self._after: Any = exports["post:run"]
        self.host = host

    def text(self, pointer: int, length: int) -> str:
        """A string of the guest's."""
        return self._memory.read(self._store, pointer, pointer + length).decode()

    def write(self, pointer: int, data: bytes) -> None:
        self._memory.write(self._store, data, pointer)

    def give(self, pointer: int, data: bytes) -> None:
        """A string or list of bytes as a result."""
        self.write(pointer, struct.pack("<II", self._copied(data), len(data)))

    def _copied(self, data: bytes) -> int:
        place = self._realloc(self._store, 0, 0, 1, len(data)) if data else 1
        self.write(place, data)
        return place

    def warm(self) -> None:
        """The neutral call ahead of the real one, answered by a host of its own."""
        real, self.host = self.host, Host(self.host.handler, seed=b"warm", now=START - 10**9)
        assert self._call(_request("None")) == "1null"
        assert not self.host.logs
        self.host = real

    def run(self, code: str, *, seconds: float = 20, close: bool = True, **request: Any) -> Outcome:
        self._store.set_epoch_deadline(max(1, int(seconds / _TICK_SECONDS)))
        try:
            raw = self._call(_request(code, **request))
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            return Outcome(ok=False, value=None, error=None, trap=str(error), raw="", host=self.host)
        finally:
            if close:
                self._store.close()
        body = json.loads(raw[1:])
        if raw[0] == "1":
            return Outcome(ok=True, value=body, error=None, trap=None, raw=raw, host=self.host)
        return Outcome(ok=False, value=None, error=body, trap=None, raw=raw, host=self.host)

    def _call(self, request: str) -> str:
        _current.isolate = self
        data = request.encode()
        returned = self._function(self._store, self._copied(data), len(data))
        answer = self.text(*struct.unpack("<II", self._memory.read(self._store, returned, returned + 8)))
        self._after(self._store, returned)
        return answer


class Session:
    """Programs one after the other in one isolate, each with a host of its own."""

    def __init__(self, isolate: Isolate) -> None:
        self._isolate = isolate
        self._count = 0
        self.now = START

    def run(self, code: str, *, seed: bytes = b"seed", **request: Any) -> Outcome:
        """The outcome of the next program."""
        self._count += 1
        self._isolate.host = host = Host(self._isolate.host.handler, seed=seed, now=self.now)
        outcome = on_deep_stack(lambda: self._isolate.run(code, close=False, number=self._count, **request))
        self.now = host.now
        return outcome

    def __call__(self, code: str, **request: Any) -> Any:
        """The next program's value, or the name and message of its error."""
        outcome = self.run(code, **request)
        if outcome.error is not None:
            return f"{outcome.error['name']}: {outcome.error['message']}"
        assert outcome.ok, outcome.trap
        return outcome.value


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
