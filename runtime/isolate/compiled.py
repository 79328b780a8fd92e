"""Compiled images on disk: made once per Wasmtime version and machine, in a process that is gone afterwards.

Compiling takes seconds and hundreds of megabytes, which the process that asks for it should not keep.
"""

import asyncio
import hashlib
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

# Raised whenever the engine's settings change in a way that compiled code depends on.
_SETTINGS = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class CompiledImage:
    """A compiled image's file and the digest of the Wasm it came from."""

    name: str
    digest: str
    path: Path
    fuel: bool = False


def find_image(name: str, wasm: Path, cache: Path, *, fuel: bool = False) -> CompiledImage:
    """Where the compiled form of `wasm` is, or belongs: the file's name holds the digests of all it depends on.

    The directory must be writable by this user alone: what lies there is run as machine code.
    """
    data = wasm.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    depends = f"{digest} {version('wasmtime')} {_SETTINGS} {fuel} {platform.machine()} {_processor()}"
    path = cache / f"{name}-{hashlib.sha256(depends.encode()).hexdigest()[:24]}.cwasm"
    return CompiledImage(name=name, digest=digest, path=path, fuel=fuel)


def _processor() -> str:
    """The features compiled code may use."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith(("flags", "Features")):
            return line
    return ""


async def compiled_image(name: str, wasm: Path, cache: Path, *, fuel: bool = False) -> CompiledImage:
    """As `find_image`, compiled if it was not yet. Raises RuntimeError if that fails."""
    image = await asyncio.to_thread(find_image, name, wasm, cache, fuel=fuel)
    if not image.path.exists():
        command = (sys.executable, "-I", "-m", "runtime.isolate.images", str(wasm), str(image.path), *["--fuel"] * fuel)
        process = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
        if await process.wait() != 0:
            raise RuntimeError(f"the guest image {name} could not be compiled; the log says why")
    return image
