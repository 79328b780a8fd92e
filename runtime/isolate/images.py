"""Compiles images and maps them: `python -m runtime.isolate.images WASM OUT [--fuel]`."""

import os
import sys
import tempfile
from pathlib import Path

import wasmtime

from runtime.isolate.compiled import CompiledImage
from runtime.isolate.engine import make_engine
from runtime.isolate.javascript import JavaScriptImage
from runtime.isolate.python import PythonImage
from runtime.isolate.typescript import TypeEraser

type Image = JavaScriptImage | PythonImage


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
    """Map a compiled image; the engine must count fuel just if the image does.

    Starts no thread, so it may be done before a fork.
    """
    _refuse_foreign(compiled.path)
    module = wasmtime.Module.deserialize_file(engine, str(compiled.path))
    # QuickJS is entered again for each event; CPython waits inside.
    is_javascript = any(export.name == "resume" for export in module.exports)
    return (JavaScriptImage if is_javascript else PythonImage)(engine, module, fuel=compiled.fuel)


def load_eraser(engine: wasmtime.Engine, compiled: CompiledImage) -> TypeEraser:
    """Map the compiled TypeScript parser. Starts no thread, so it may be done before a fork."""
    _refuse_foreign(compiled.path)
    return TypeEraser(engine, wasmtime.Module.deserialize_file(engine, str(compiled.path)))


def _refuse_foreign(path: Path) -> None:
    for place in (path, path.parent):
        info = place.stat()
        if info.st_uid != os.geteuid() or info.st_mode & 0o022:
            raise PermissionError(f"{place} may be written by others; what it holds is run as machine code")


def main() -> None:
    """Compile one image. Ends without tearing the engine down."""
    wasm, out = Path(sys.argv[1]), Path(sys.argv[2])
    data = wasm.read_bytes()
    _write_atomically(out, wasmtime.Module(make_engine(fuel="--fuel" in sys.argv[3:]), data).serialize())
    os._exit(0)


if __name__ == "__main__":
    main()
