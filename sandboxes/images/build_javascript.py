"""Build the JavaScript guest image: QuickJS-ng and the guest's own C and JavaScript, compiled, booted and snapshotted.

Four steps: fetch the engine's source distributions (hashes pinned in `javascript/sources.txt`), compile with the Zig of
the `ziglang` wheel, boot the module under Wasmtime and evaluate the prelude, write memory and globals back into it.
"""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import wasmtime

from sandboxes.images.wasm_module import PAGE, snapshot

Report = Callable[[str], None]

_HERE = Path(__file__).parent
_SOURCES = _HERE / "javascript"
_CACHE = _HERE.parent.parent / "build" / "javascript-sources"
_TOOLS = ("ziglang", "wasmtime")
_EXPORTS = frozenset(("memory", "alloc", "run", "resume"))
_ENGINE_C = ("dtoa.c", "libregexp.c", "libunicode.c")
_FLAGS = (
    *("-target", "wasm32-wasi", "-O3", "-s", "-DNDEBUG", "-D_GNU_SOURCE"),
    *("-msimd128", "-mbulk-memory", "-mnontrapping-fptoint", "-Wno-nullability-completeness"),
)
_CPP_FLAGS = ("-std=c++20", "-fno-exceptions", "-fno-rtti", "-DADA_INCLUDE_URL_PATTERN=0")
_REFUSAL = 'js_parse_error(s, "return not in a function");\n            goto fail;'
_PARSING = "if (engine_parse_return(s)) goto fail;\n            break;"
# Zig puts the stack in linear memory below all data, so running over it traps; guest.c says how much QuickJS may use.
_LINK = ("-mexec-model=reactor", "-Wl,--export=__stack_pointer", "-Wl,-z,stack-size=3145728")


def inputs() -> str:
    """Digest (hex SHA-256) of everything the image is made from: sources, this file and its writer, tool versions."""
    digest = hashlib.sha256()
    for tool in _TOOLS:
        digest.update(f"{tool}=={version(tool)}\n".encode())
    sources = [path for path in sorted(_SOURCES.rglob("*")) if path.suffix in {".c", ".h", ".cpp", ".js", ".txt"}]
    for path in [Path(__file__), _HERE / "wasm_module.py", *sources]:
        digest.update(f"{path.relative_to(_HERE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(target: Path, report: Report) -> dict[str, Any]:
    """Build the image and write it to `target`; return what is to be recorded about it.

    Raises RuntimeError with a tool's own output when it fails. Takes about 40 s on one core, 2 s when only the prelude
    changed: sources are kept in `build/`, Zig keeps its objects in its own cache.
    """
    sources = _sources(report)
    with tempfile.TemporaryDirectory(prefix="lockgate-javascript-") as name:
        report("javascript: compiling QuickJS-ng and the guest (about 40 s the first time)")
        compiled = _compile(sources, Path(name))
    report("javascript: booting and snapshotting")
    image = _boot(compiled)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(".part")
    scratch.write_bytes(image)
    scratch.replace(target)
    report(f"javascript: {len(image) / 1e6:.2f} MB, {len(compiled) / 1e6:.2f} MB before the snapshot")
    return {
        "language": "javascript",
        "inputs": inputs(),
        "sha256": hashlib.sha256(image).hexdigest(),
        "bytes": len(image),
        "compiled_bytes": len(compiled),
        "sources": [line.split()[0] for line in _pins()],
        "ziglang": version("ziglang"),
    }


def _pins() -> list[str]:
    lines = (_SOURCES / "sources.txt").read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _sources(report: Report) -> Path:
    """Return the folder of unpacked source distributions, fetched once per set of pins."""
    folder = _CACHE / hashlib.sha256((_SOURCES / "sources.txt").read_bytes()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    report("javascript: fetching the sources of QuickJS-ng and ada")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as name:
        work = Path(name)
        _download(work / "archives")
        for archive in sorted((work / "archives").iterdir()):
            with tarfile.open(archive) as tar:
                tar.extractall(work / "unpacked", filter="data")
        (work / "unpacked").rename(folder)
    return folder


def _download(into: Path) -> None:
    """Let pip fetch the archives and check their hashes.

    pip also asks each archive's build backend for metadata. With that backend at hand (setuptools and cffi) this takes
    a second; in an environment of its own, which pip makes otherwise, half a minute.
    """
    at_hand = find_spec("setuptools") is not None and find_spec("cffi") is not None
    isolation = ("--no-build-isolation",) if at_hand else ()
    options = ("--no-deps", "--no-binary", ":all:", "--require-hashes", *isolation)
    _run("-m", "pip", "download", *options, "--quiet", "-r", str(_SOURCES / "sources.txt"), "-d", str(into))


def _compile(sources: Path, work: Path) -> bytes:
    engine, ada = next(sources.glob("quickjs_ng-*")) / "upstream-quickjs", next(sources.glob("ada_url-*")) / "ada_url"
    own, output = _SOURCES / "engine", work / "guest.wasm"
    _allow_return(engine / "quickjs.c", work / "quickjs.c")
    include = tuple(f"-I{folder}" for folder in (work, engine, ada, own))
    objects = []
    for source in (ada / "ada.cpp", own / "url.cpp"):
        objects.append(work / f"{source.stem}.o")
        _run("-m", "ziglang", "c++", *_FLAGS, *_CPP_FLAGS, *include, "-c", str(source), "-o", str(objects[-1]))
    files = [*sorted(own.glob("*.c")), *(engine / name for name in _ENGINE_C), *objects]
    _run("-m", "ziglang", "cc", *_FLAGS, *_LINK, *include, *map(str, files), "-lc++", "-o", str(output))
    return output.read_bytes()


def _allow_return(source: Path, target: Path) -> None:
    """Copy QuickJS with its refusal of a `return` outside functions replaced: `engine/globals.h` decides."""
    text = source.read_text()
    if text.count(_REFUSAL) != 1:
        raise RuntimeError(f"{source.name} has no longer the one refusal of a return outside functions")
    target.write_text(text.replace(_REFUSAL, _PARSING))


def _run(*arguments: str) -> None:
    done = subprocess.run([sys.executable, *arguments], check=False, capture_output=True, text=True)  # noqa: S603 fixed tools
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(arguments[:3])} failed with status {done.returncode}:\n{done.stderr[-4000:]}")


def _boot(compiled: bytes) -> bytes:
    """Run the module up to the end of the prelude and return its snapshot."""
    engine = wasmtime.Engine()
    store, linker, complaints = wasmtime.Store(engine), wasmtime.Linker(engine), list[str]()

    def log(caller: wasmtime.Caller, _level: int, at: int, size: int) -> None:
        memory = caller["memory"]
        assert isinstance(memory, wasmtime.Memory)
        complaints.append(memory.read(caller, at, at + size).decode(errors="replace"))

    i32 = wasmtime.ValType.i32()
    linker.define_func("lockgate", "log", wasmtime.FuncType([i32] * 3, []), log, access_caller=True)
    linker.define_func("lockgate", "done", wasmtime.FuncType([i32] * 3, []), lambda *_: None)
    linker.define_func("lockgate", "submit", wasmtime.FuncType([i32] * 6, []), lambda *_: None)
    guest = linker.instantiate(store, wasmtime.Module(engine, compiled)).exports(store)
    memory, pointer = guest["memory"], guest["__stack_pointer"]
    assert isinstance(memory, wasmtime.Memory)
    assert isinstance(pointer, wasmtime.Global)

    def call(name: str, *arguments: int) -> Any:
        function = guest[name]
        assert isinstance(function, wasmtime.Func)
        try:
            return function(store, *arguments)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise RuntimeError("\n".join(["the guest did not boot:", *complaints, str(error)])) from error

    def text(data: bytes) -> int:
        at = call("alloc", len(data) + 1)
        memory.write(store, data + b"\0", at)
        return int(at)

    call("_initialize")
    call("boot")
    for path in sorted((_SOURCES / "prelude").glob("*.js")):
        source = path.read_bytes()
        call("prelude", text(f"lockgate:{path.name}".encode()), text(source), len(source))
    call("seal")
    size = memory.data_len(store)
    assert size % PAGE == 0
    return snapshot(compiled, bytes(memory.read(store, 0, size)), int(pointer.value(store)), _EXPORTS)
