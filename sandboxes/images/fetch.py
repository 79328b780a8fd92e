"""Wheels by their hashes, from the package index that pip is configured for. Nothing of them is run."""

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sandboxes.image import Package

CACHE = Path(__file__).parents[2] / "build" / "wheels"

_TIMEOUT_S = 600
# The guest's own Python. A wheel with compiled modules, of which only the Python files are taken, is the one for
# x86-64 Linux wherever this runs: otherwise its hash would differ from machine to machine.
_TAGS = (
    *("--implementation", "cp", "--python-version", "3.14", "--abi", "cp314", "--abi", "abi3", "--abi", "none"),
    *("--platform", "manylinux_2_28_x86_64", "--platform", "manylinux_2_17_x86_64"),
    *("--platform", "manylinux2014_x86_64", "--platform", "manylinux1_x86_64"),
)


def fetch_wheels(packages: Sequence[Package], cache: Path = CACHE) -> dict[str, Path]:
    """Each package's wheel by its SHA-256, from `cache` or the index. Raises RuntimeError with what pip said."""
    wheels = {package.sha256: _cached(cache, package.sha256) for package in packages}
    missing = [package for package in packages if wheels[package.sha256] is None]
    if missing:
        _download(missing, cache)
        wheels.update({package.sha256: _cached(cache, package.sha256) for package in missing})
    found = {digest: path for digest, path in wheels.items() if path is not None}
    for package in packages:
        if package.sha256 not in found:
            raise RuntimeError(f"pip brought no wheel of {package.pin} with the SHA-256 {package.sha256}")
    return found


def _cached(cache: Path, digest: str) -> Path | None:
    for path in (cache / digest).glob("*.whl"):
        if hashlib.sha256(path.read_bytes()).hexdigest() == digest:
            return path
    return None


def _download(packages: Sequence[Package], cache: Path) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="lockgate-wheels-", dir=cache) as name:
        folder = Path(name)
        pins = (f"{package.name}=={package.version} --hash=sha256:{package.sha256}\n" for package in packages)
        (folder / "pins.txt").write_text("".join(pins))
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += [*_TAGS, "--require-hashes", "--requirement", str(folder / "pins.txt"), "--dest", str(folder)]
        try:
            done = subprocess.run(  # noqa: S603
                command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"pip did not finish within {_TIMEOUT_S} s") from None
        if done.returncode != 0:
            raise RuntimeError(f"pip could not fetch the wheels:\n{_said(done.stderr)}")
        for path in folder.glob("*.whl"):
            place = cache / hashlib.sha256(path.read_bytes()).hexdigest()
            place.mkdir(exist_ok=True)
            path.replace(place / path.name)


def _said(text: str) -> str:
    """What pip said, without its warnings."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("WARNING")]
    return "\n".join(lines)[-4000:]
