"""Build the TypeScript parser: take SWC's WebAssembly out of npm's `amaro`, fetched by name, version and hash.

Nothing of the package is run. See `typescript/README.md`.
"""

import base64
import binascii
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import wasmtime

from .npm import MANIFESTS, Report, fetched

_HERE = Path(__file__).parent
_PINNED = _HERE / "typescript"
_PACKAGE = "amaro"
_EMBEDDED = re.compile(r"Buffer\.from\('([A-Za-z0-9+/=]+)'")
_EXPORTS = frozenset(("memory", "transformSync", "__wbindgen_export_2", "__wbindgen_add_to_stack_pointer"))
_LICENSES = {"amaro (MIT)": "LICENSE.md", "@swc/wasm-typescript (Apache-2.0)": "dist/LICENSE"}


def inputs() -> str:
    """Digest (hex SHA-256) of everything the parser is made from: the pinned package and this file."""
    digest = hashlib.sha256()
    for path in (Path(__file__), *(_PINNED / name for name in MANIFESTS)):
        digest.update(f"{path.name}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def build(target: Path, report: Report) -> dict[str, Any]:
    """Write the parser's WebAssembly to `target`; return what is to be recorded about it.

    Raises RuntimeError with npm's own output when that fails. Takes about 3 s.
    """
    package = fetched(_PACKAGE, _PINNED, report)
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
