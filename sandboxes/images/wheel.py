"""A wheel's files and what it says of itself, read without installing it."""

import email.parser
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from email.message import Message
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from sandboxes.image import Package, canonical_package

PYTHON = "3.14.0"
"""The guest's."""

# What environment markers see inside the guest.
_ENVIRONMENT = {
    "implementation_name": "cpython",
    "implementation_version": PYTHON,
    "os_name": "posix",
    "platform_machine": "wasm32",
    "platform_python_implementation": "CPython",
    "platform_release": "",
    "platform_system": "wasi",
    "platform_version": "",
    "python_full_version": PYTHON,
    "python_version": "3.14",
    "sys_platform": "wasi",
}
_COMPILED = (".so", ".pyd", ".dll", ".dylib")
_USELESS = (*_COMPILED, ".pyi", ".pyc", ".c", ".cc", ".cpp", ".h", ".pyx", ".pxd", ".pth")
_ROOTS = ("purelib", "platlib")
_MOST_FILES = 5_000
_MOST_BYTES = 64 << 20


class WheelError(ValueError):
    """A wheel that cannot be part of an image; the text says why and what to do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wheel:
    """A wheel's files by the path they are installed at, and what it needs."""

    package: Package
    files: Mapping[str, bytes]
    requirements: tuple[Requirement, ...]


def read_wheel(path: Path, package: Package) -> Wheel:
    """The wheel at `path`, which is to be that of `package`. Raises WheelError."""
    try:
        with zipfile.ZipFile(path) as archive:
            files = _installed(archive)
    except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError) as error:
        raise WheelError(f"{path.name} cannot be read: {error}") from None
    metadata = _described(files, "METADATA", path)
    _check_identity(metadata, package, path)
    _check_pure(files, package, path)
    try:
        wanted = SpecifierSet(metadata.get("Requires-Python", ""))
        requirements = tuple(Requirement(line) for line in metadata.get_all("Requires-Dist", ()))
    except (InvalidRequirement, InvalidSpecifier) as error:
        raise WheelError(f"{path.name}: {error}") from None
    if not wanted.contains(PYTHON):
        raise WheelError(f"{package.pin} needs Python {wanted}; the image has {PYTHON}")
    kept = {name: data for name, data in files.items() if not name.endswith(_USELESS)}
    return Wheel(package=package, files=kept, requirements=requirements)


def _installed(archive: zipfile.ZipFile) -> dict[str, bytes]:
    """Files by the path they would be installed at, below site-packages."""
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    if len(entries) > _MOST_FILES or sum(entry.file_size for entry in entries) > _MOST_BYTES:
        raise WheelError(f"{archive.filename}: more than {_MOST_FILES} files or {_MOST_BYTES >> 20} MiB")
    files: dict[str, bytes] = {}
    for entry in entries:
        parts = entry.filename.split("/")
        if {"", ".", ".."} & set(parts) or "\\" in entry.filename:
            raise WheelError(f"{archive.filename}: the path {entry.filename!r} leads elsewhere")
        if parts[0].endswith(".data"):
            if len(parts) < 3 or parts[1] not in _ROOTS:  # noqa: PLR2004 - scripts, headers: not for an interpreter
                continue
            parts = parts[2:]
        name = "/".join(parts)
        if name in files:
            raise WheelError(f"{archive.filename}: {name} is in it twice")
        files[name] = archive.read(entry)
    return files


def _described(files: Mapping[str, bytes], name: str, path: Path) -> Message:
    found = [data for file, data in files.items() if file.count("/") == 1 and file.endswith(f".dist-info/{name}")]
    if len(found) != 1:
        raise WheelError(f"{path.name} has {len(found)} files {name} where a wheel has one")
    return email.parser.BytesParser().parsebytes(found[0], headersonly=True)


def _check_identity(metadata: Message, package: Package, path: Path) -> None:
    name, version = metadata.get("Name", ""), metadata.get("Version", "")
    try:
        same = Version(version) == Version(package.version)
    except InvalidVersion as error:
        raise WheelError(f"{path.name}: {error}") from None
    if not same or canonical_package(name) != canonical_package(package.name):
        raise WheelError(f"the wheel with this SHA-256 is {name} {version}, not {package.pin}")


def _check_pure(files: Mapping[str, bytes], package: Package, path: Path) -> None:
    compiled = sorted(name for name in files if name.endswith(_COMPILED) or ".so." in name)
    pure = not compiled and _described(files, "WHEEL", path).get("Root-Is-Purelib", "").lower() == "true"
    if not pure and not package.drop_compiled:
        what = f"it has {compiled[0]}" if compiled else "it says so itself"
        raise WheelError(
            f"{path.name} is not pure Python: {what}. There is no foreign code in an image; if {package.name} "
            "works without, say drop_compiled: true, otherwise it cannot be had"
        )
    if pure and package.drop_compiled:
        raise WheelError(f"{path.name} is pure Python: leave out drop_compiled")


def unmet_requirements(wheels: Iterable[Wheel]) -> list[str]:
    """What the wheels need and the list does not give, one line each."""
    by_name = {canonical_package(wheel.package.name): wheel for wheel in wheels}
    # Each wheel without an extra, then every extra that somebody asks for.
    todo = [(name, "") for name in by_name]
    done: set[tuple[str, str]] = set()
    problems: list[str] = []
    while todo:
        name, extra = asked = todo.pop(0)
        if asked in done:
            continue
        done.add(asked)
        for requirement in _applying(by_name[name], extra):
            needed = canonical_package(requirement.name)
            if problem := _unmet(by_name[name].package, requirement, by_name.get(needed)):
                problems.append(problem)
            else:
                todo += [(needed, wanted) for wanted in requirement.extras]
    return list(dict.fromkeys(problems))


def _applying(wheel: Wheel, extra: str) -> list[Requirement]:
    environment = {**_ENVIRONMENT, "extra": extra}
    return [each for each in wheel.requirements if each.marker is None or each.marker.evaluate(environment)]


def _unmet(package: Package, requirement: Requirement, found: Wheel | None) -> str:
    wanted = f"{requirement.name}{requirement.specifier}"
    if found is None:
        return f"{package.pin} needs {wanted}, which is not listed under packages"
    if not requirement.specifier.contains(found.package.version, prereleases=True):
        return f"{package.pin} needs {wanted}, and the version listed is {found.package.version}"
    return ""
