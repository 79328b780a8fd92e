"""Build a declared image: the Python guest with the packages of a `<name>.yaml` in its library.

The wheels' modules are compiled by the guest's own CPython like the standard library's, and lie behind them in the
same blob; the guest then imports and practises what the declaration says before it is snapshotted.
"""

import hashlib
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import decode_source
from pathlib import Path
from typing import Any

from sandboxes.image import Image
from sandboxes.images import build_python, fetch, wheel
from sandboxes.images.build_python import Compiler, Library, Report
from sandboxes.images.wasm_module import memory_bytes, read_sections
from sandboxes.images.wheel import Wheel, WheelError, read_wheel, unmet_requirements

# In a blob already, and allowed to be replaced by a package.
_REPLACEABLE = frozenset({"tzdata"})


class PackageImage:
    """What builds one declared image."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def inputs(self) -> str:
        """Digest (hex SHA-256) of everything the image is made from: the Python image's inputs, the declaration."""
        digest = hashlib.sha256(f"{build_python.inputs()} {self._image.digest()}".encode())
        for module in (__file__, fetch.__file__, wheel.__file__):
            digest.update(Path(module).read_bytes())
        return digest.hexdigest()

    def build(self, target: Path, report: Report) -> dict[str, Any]:
        """Build the image to `target` and return what is to be recorded about it. Raises RuntimeError."""
        name, packages = self._image.name, self._image.packages
        with tempfile.TemporaryDirectory(prefix=f"lockgate-{name}-") as folder:
            standard = build_python.standard_library(Path(folder), report)
            report(f"{name}: fetching {len(packages)} wheels")
            paths = fetch.fetch_wheels(packages)
            wheels = _checked(self._image, paths, standard)
            report(f"{name}: compiling the packages")
            library = _extended(standard, self._image, wheels, report)
            report(f"{name}: snapshotting the guest")
            data = _snapshot(Path(folder), library, report)
        build_python.write_image(target, data)
        report(f"{name}: {len(data) / 1e6:.1f} MB, {', '.join(package.pin for package in packages)}")
        return {
            "language": "python",
            "declaration": self._image.digest(),
            "bytes": len(data),
            "memory_bytes": memory_bytes(read_sections(data)),
            "packages": {package.name: package.version for package in packages},
            "tools": build_python.tools(),
        }


def _checked(image: Image, paths: Mapping[str, Path], standard: Library) -> list[Wheel]:
    """The wheels, none of which gets in another's way. Raises RuntimeError with every problem."""
    wheels, problems = [], []
    for package in image.packages:
        try:
            wheels.append(read_wheel(paths[package.sha256], package))
        except WheelError as error:
            problems.append(str(error))
    if not problems:
        problems = [*unmet_requirements(wheels), *_collisions(wheels, standard), *_not_there(image, wheels)]
    if problems:
        raise RuntimeError("\n".join(problems))
    return wheels


def _collisions(wheels: Sequence[Wheel], standard: Library) -> Iterator[str]:
    """Modules that the image has already, and files that two packages bring."""
    taken = {name.partition(".")[0] for name in standard.index["modules"]} - _REPLACEABLE
    own = build_python.guest_modules()
    owners: dict[str, str] = {}
    for each in wheels:
        pin = each.package.pin
        for top in sorted({_top(path) for path in each.files if path.endswith(".py")}):
            if top in taken | own:
                whose = "the standard library's" if top in taken else "the image's own"
                yield f"{pin} brings the module {top}, which is {whose}"
        for path in each.files:
            if owners.setdefault(path, pin) != pin:
                yield f"{pin} and {owners[path]} both bring {path}"


def _not_there(image: Image, wheels: Sequence[Wheel]) -> Iterator[str]:
    """Modules to preload that no package has; those of the standard library are imported already."""
    modules = set(_modules({path: data for each in wheels for path, data in each.files.items()}))
    for name in image.preload:
        if name not in modules:
            yield f"preload: no package listed has a module {name}"


def _top(path: str) -> str:
    return path.partition("/")[0].removesuffix(".py")


def _modules(files: Mapping[str, bytes]) -> dict[str, tuple[bytes, bool]]:
    """Source, and whether it is a package, by module name; folders without `__init__.py` are packages as well."""
    found: dict[str, tuple[bytes, bool]] = {}
    for path, data in files.items():
        stem = path.removesuffix(".py")
        if stem != path and all(part.isidentifier() for part in stem.split("/")):
            module = stem.removesuffix("/__init__")
            found[module.replace("/", ".")] = (data, module != stem)
    for name in list(found):
        while name := name.rpartition(".")[0]:
            found.setdefault(name, (b"", True))
    return found


def _extended(standard: Library, image: Image, wheels: Sequence[Wheel], report: Report) -> Library:
    """The standard library and behind it the wheels' modules and data."""
    blob = bytearray(standard.blob)
    modules, files = dict(standard.index["modules"]), dict(standard.index["files"])
    compiler = Compiler(standard.compiler)
    content = {path: data for each in wheels for path, data in sorted(each.files.items())}
    sources = _modules(content)
    for name, (source, is_package) in sorted(sources.items()):
        try:
            code = compiler(name, decode_source(source))
        except (RuntimeError, SyntaxError, UnicodeDecodeError) as error:
            report(f"{image.name}: left out, {error}")
            continue
        modules[name] = (len(blob), len(blob) + len(code), is_package)
        blob += code
    for path, data in content.items():
        if path.endswith(".py"):
            continue
        known = files.get(path)
        if known is not None and standard.blob[slice(*known)] == data:
            continue
        files[path] = (len(blob), len(blob) + len(data))
        blob += data
    packages = {
        "modules": sorted(sources.keys() & modules.keys()),
        "preload": list(image.preload),
        "practice": list(image.practice),
    }
    return Library(
        blob=bytes(blob),
        index={"modules": modules, "files": files, "packages": packages},
        compiler=standard.compiler,
    )


def _snapshot(folder: Path, library: Library, report: Report) -> bytes:
    try:
        return build_python.snapshot_guest(folder, library, report)
    except RuntimeError as error:
        # What the guest itself found wrong with the declaration, without the tool's own words around it.
        if reason := re.search(r"RuntimeError: declaration: (.*)", str(error), re.DOTALL):
            raise RuntimeError(reason[1].strip()) from None
        raise
