"""Build the Python guest image: CPython 3.14, its whole standard library and the guest's own sources, snapshotted.

Four steps: take the library's sources out of componentize-py's wheel, compile them with the guest's own CPython (a
small component run under Wasmtime), componentize the guest with the result in memory, and make one module of that
component, whose objects are immortal.
"""

import base64
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import wasmtime
import zstandard
from wasmtime import component

from . import flat_module, immortal
from .component_wiring import read_wiring
from .wasm_module import global_values, read_sections

Report = Callable[[str], None]

_HERE = Path(__file__).parent
_SOURCES = _HERE / "python"
_CACHE = _HERE.parent.parent / "build" / "python-library"
_TYPE_TYPE = "libpython3.14.so:PyType_Type"
_TOOLS = ("componentize-py", "zstandard")
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# What cannot work here (a screen, a terminal, installing things) or is only data for something else.
_LEFT_OUT = frozenset(
    (
        *("idlelib", "tkinter", "turtledemo", "turtle.py", "ctypes", "curses", "ensurepip", "venv"),
        *("test", "tests", "site-packages", "__pycache__"),
    )
)
# Packages whose remaining modules are worth having: see the guest's `absent.py` for what the rest answers.
_LEFT_OUT_FILES = (
    "concurrent/futures/process.py",
    "multiprocessing/forkserver.py",
    "multiprocessing/heap.py",
    "multiprocessing/managers.py",
    "multiprocessing/pool.py",
    "multiprocessing/popen_",
    "multiprocessing/resource_tracker.py",
    "multiprocessing/shared",
    "multiprocessing/synchronize.py",
)
_DATA_SUFFIXES = (".json", ".txt", ".xml", ".dtd", ".tab")


def inputs() -> str:
    """Digest (hex SHA-256) of everything the image is made from: sources, this file, tool versions."""
    digest = hashlib.sha256()
    digest.update("\n".join(tools()).encode() + flat_module.inputs() + Path(immortal.__file__).read_bytes())
    for path in [Path(__file__), *sorted(_SOURCES.rglob("*"))]:
        if path.suffix in {".py", ".wit"} and "__pycache__" not in path.parts:
            digest.update(f"{path.relative_to(_HERE)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def tools() -> list[str]:
    """What builds the image and decides its bytes, each with its version."""
    versions = [f"{tool}=={version(tool)}" for tool in _TOOLS]
    # Time zones come from the tzdata package, which an environment may lack; then zoneinfo knows UTC only.
    return versions + ([f"tzdata=={version('tzdata')}"] if find_spec("tzdata") else ["no tzdata"])


def build(target: Path, report: Report) -> dict[str, Any]:
    """Build the image and write it to `target`; return what is to be recorded about it.

    Raises RuntimeError with a tool's own output when it fails. Takes about 45 s on one core, less once
    the compiled library is in `build/`.
    """
    with tempfile.TemporaryDirectory(prefix="lockgate-python-") as name:
        work = Path(name)
        library = standard_library(work, report)
        report("python: snapshotting the guest")
        image = snapshot_guest(work, library, report)
    write_image(target, image)
    modules = library.index["modules"]
    report(f"python: {len(image) / 1e6:.1f} MB, {len(modules)} library modules")
    return {
        "language": "python",
        "bytes": len(image),
        "library_modules": len(modules),
        "tools": tools(),
    }


@dataclass(frozen=True, kw_only=True, slots=True)
class Library:
    """Compiled modules and data files: one blob, the index that says where each lies in it, and what compiled them."""

    blob: bytes
    index: dict[str, Any]
    compiler: Path


def snapshot_guest(work: Path, library: Library, report: Report) -> bytes:
    """The guest started with this library in memory, as one module. Raises RuntimeError with the tool's output."""
    shutil.copytree(_SOURCES / "guest", work / "guest", ignore=shutil.ignore_patterns("__pycache__"))
    (work / "guest" / "library.blob").write_bytes(library.blob)
    (work / "guest" / "library.json").write_text(json.dumps(library.index))
    _componentize(_SOURCES / "guest.wit", "guest", "entry", work / "guest", work / "guest.wasm")
    component_bytes = (work / "guest.wasm").read_bytes()
    report("python: merging its modules")
    flat = flat_module.flatten(component_bytes, work, report)
    known = global_values(read_sections(read_wiring(component_bytes).modules[0]))
    image, _ = immortal.immortalise(flat, type_type=known[_TYPE_TYPE], heap=known["__heap_base"])
    return image


def write_image(target: Path, image: bytes) -> None:
    """Put an image in its place at once."""
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(".part")
    scratch.write_bytes(image)
    scratch.replace(target)


def guest_modules() -> frozenset[str]:
    """Top-level modules that are the guest's own."""
    return frozenset(path.stem for path in (_SOURCES / "guest").iterdir()) | {"codemode", "wit_world"}


def standard_library(work: Path, report: Report) -> Library:
    """The compiled library, from the cache if it was made by the same tools and compiler source."""
    compiler = _SOURCES / "compiler"
    parts = ["\n".join(tools()).encode(), Path(__file__).read_bytes()]
    parts += [path.read_bytes() for path in sorted(compiler.iterdir()) if path.is_file()]
    folder = _CACHE / hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
    if (folder / "library.json").exists():
        report("python: standard library already compiled")
        return _cached(folder)
    report("python: building the guest's compiler")
    _componentize(compiler / "compiler.wit", "compiler-guest", "compiler_entry", compiler, work / "compiler.wasm")
    report("python: compiling the standard library")
    blob, index = _compile(work / "compiler.wasm", _sources(_shared_object()) | _time_zones())
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(work / "compiler.wasm", folder / "compiler.wasm")
    (folder / "library.blob").write_bytes(blob)
    # The index last: what it stands beside is whole.
    (folder / "library.json.part").write_text(json.dumps(index))
    (folder / "library.json.part").replace(folder / "library.json")
    return _cached(folder)


def _cached(folder: Path) -> Library:
    index = json.loads((folder / "library.json").read_text())
    return Library(blob=(folder / "library.blob").read_bytes(), index=index, compiler=folder / "compiler.wasm")


def _shared_object() -> Path:
    spec = find_spec("componentize_py")
    if spec is None or spec.origin is None:
        raise RuntimeError("componentize-py is not installed: pip install 'lockgate[build]'")
    return next(Path(spec.origin).parent.glob("componentize_py*.so"))


def _sources(shared_object: Path) -> dict[str, bytes]:
    """The standard library's files by path, from the tar among the zstd frames of the tool's shared object."""
    for frame in _zstd_frames(shared_object.read_bytes()):
        if frame[257:262] != b"ustar":
            continue
        with tarfile.open(fileobj=io.BytesIO(frame)) as archive:
            members = [member for member in archive.getmembers() if member.isfile()]
            if not any(member.name == "json/__init__.py" for member in members):
                continue
            return {member.name: _content(archive, member) for member in members}
    raise RuntimeError(f"no standard library found in {shared_object.name}")


def _time_zones() -> dict[str, bytes]:
    """The tzdata package's files by path; none if it is not installed."""
    spec = find_spec("tzdata")
    if spec is None or spec.origin is None:
        return {}
    folder = Path(spec.origin).parent
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and "__pycache__" not in path.parts)
    return {f"tzdata/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in files}


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    assert file is not None
    return file.read()


def _zstd_frames(data: bytes) -> Iterator[bytes]:
    at = data.find(_ZSTD_MAGIC)
    while at >= 0:
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        try:
            frame = decompressor.decompress(data[at:])
        except zstandard.ZstdError:
            frame = b""
        if frame and decompressor.eof:
            yield frame
            at = len(data) - len(decompressor.unused_data) - 1
        at = data.find(_ZSTD_MAGIC, at + 1)


def _compile(compiler: Path, files: dict[str, bytes]) -> tuple[bytes, dict[str, Any]]:
    run = Compiler(compiler)
    blob = bytearray()
    modules: dict[str, tuple[int, int, bool]] = {}
    data: dict[str, tuple[int, int]] = {}
    for path in sorted(files):
        if not _LEFT_OUT.isdisjoint(path.split("/")) or path.startswith(("config-", *_LEFT_OUT_FILES)):
            continue
        start = len(blob)
        if path.endswith(".py"):
            stem = path.removesuffix(".py").removesuffix("/__init__")
            blob += run(stem.replace("/", "."), files[path].decode("utf-8-sig"))
            modules[stem.replace("/", ".")] = (start, len(blob), path.endswith("/__init__.py"))
        elif path.endswith(_DATA_SUFFIXES) or path.startswith("tzdata/"):
            blob += files[path]
            data[path] = (start, len(blob))
    return bytes(blob), {"modules": modules, "files": data}


class Compiler:
    """The compiler component under Wasmtime: module name and source in, marshalled code out.

    Raises RuntimeError for a source that does not compile.
    """

    def __init__(self, path: Path) -> None:
        config = wasmtime.Config()
        config.wasm_component_model = True
        config.cranelift_opt_level = "none"
        engine = wasmtime.Engine(config)
        image = component.Component(engine, path.read_bytes())
        linker = component.Linker(engine)
        linker.add_wasip2()
        self._store = wasmtime.Store(engine)
        self._store.set_wasi(wasmtime.WasiConfig())
        instance = linker.instantiate(self._store, image)
        function = instance.get_func(self._store, "compile")
        assert function is not None
        self._function = function

    def __call__(self, name: str, source: str) -> bytes:  # noqa: D102 - the class says it
        request = json.dumps({"name": name, "source": source})
        answer: str = self._function(self._store, request)
        self._function.post_return(self._store)
        if answer.startswith("!"):
            raise RuntimeError(f"{name} does not compile: {answer[1:]}")
        return base64.b64decode(answer)


def _componentize(wit: Path, world: str, entry: str, folder: Path, target: Path) -> None:
    # An empty VIRTUAL_ENV: otherwise the tool would put this environment's packages into the image.
    empty = target.parent / "empty-environment"
    (empty / "lib" / "site-packages").mkdir(parents=True, exist_ok=True)
    tool = Path(sys.executable).parent / "componentize-py"
    command = [str(tool), "--quiet", "--wit-path", str(wit), "--world", world]
    command += ["componentize", entry, "--python-path", str(folder), "--output", str(target)]
    environment = {"PATH": os.environ.get("PATH", ""), "VIRTUAL_ENV": str(empty), "HOME": str(empty)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise RuntimeError(f"componentize-py failed:\n{done.stdout}{done.stderr}"[-8000:])
