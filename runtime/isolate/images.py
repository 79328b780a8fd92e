"""Images on disk: compiled once per Wasmtime version and machine, then mapped in milliseconds."""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import wasmtime
from wasmtime import component

from runtime.isolate.engine import WASM_STACK_BYTES
from runtime.isolate.javascript import JavaScriptImage
from runtime.isolate.python import PythonImage

_COMPONENT_LAYER = b"\x0d\x00\x01\x00"
_KIND_AT = slice(4, 8)


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledImage:
    """A compiled image's file and the digest of the Wasm it came from."""

    name: str
    digest: str
    path: Path
    is_component: bool


type Image = JavaScriptImage | PythonImage


def compile_image(engine: wasmtime.Engine, name: str, wasm: Path, cache: Path) -> CompiledImage:
    """Compile `wasm` into `cache`, unless it is there. Takes seconds the first time.

    The file's name holds the digest of the source, of the Wasmtime version and of the settings that matter.
    The directory must be writable by this user alone: what lies there is run as machine code.
    """
    data = wasm.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    settings = f"{digest} {version("wasmtime")} {WASM_STACK_BYTES}"
    path = cache / f"{name}-{hashlib.sha256(settings.encode()).hexdigest()[:24]}.cwasm"
    is_component = data[_KIND_AT] == _COMPONENT_LAYER
    if not path.exists():
        compiled = (component.Component if is_component else wasmtime.Module)(engine, data)
        _write_atomically(path, compiled.serialize())
    return CompiledImage(name=name, digest=digest, path=path, is_component=is_component)


def _write_atomically(path: Path, data: bytes | bytearray) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_image(engine: wasmtime.Engine, compiled: CompiledImage) -> Image:
    """Map a compiled image. Starts no thread, so it may be done before a fork."""
    _refuse_foreign(compiled.path)
    if compiled.is_component:
        return PythonImage(engine, component.Component.deserialize_file(engine, str(compiled.path)))
    return JavaScriptImage(engine, wasmtime.Module.deserialize_file(engine, str(compiled.path)))


def _refuse_foreign(path: Path) -> None:
    for place in (path, path.parent):
        info = place.stat()
        if info.st_uid != os.geteuid() or info.st_mode & 0o022:
            raise PermissionError(f"{place} may be written by others; what it holds is run as machine code")
