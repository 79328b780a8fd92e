"""No file carries a registry's host, a download address, a path of somebody's machine, or a secret."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Put together here, so that this file passes its own test.
REGISTRIES = [
    "pypi" + ".org",
    "pythonhosted" + ".org",
    "npmjs" + ".org",
    "npmjs" + ".com",
    "yarnpkg" + ".com",
    "crates" + ".io",
    "proxy.golang" + ".org",
    "ghcr" + ".io",
    "docker" + ".io",
    "quay" + ".io",
    "deb.debian" + ".org",
    "githubusercontent" + ".com",
]
FORBIDDEN = {
    "registry host": "|".join(re.escape(host) for host in REGISTRIES),
    "download address": r"https?://[^\s\"'<>]+\.(?:tar\.gz|tgz|tar\.xz|zip|whl|wasm|deb|crate)\b",
    "index option": r"--(?:extra-)?index" + r"-url\b",
    "path of a machine": r"(?<![\w.])/(?:work|root)/[\w.]|(?<![\w.])/(?:home|Users)/[a-z]\w*/",
    "private key": "-----BEGIN (?:RSA |EC |OPENSSH )?PRIVATE " + "KEY-----",
    "token of a service": r"\b(?:ghp_|gho_|glpat-|sk-live|AKIA)[A-Za-z0-9]{16,}",
}


def files() -> list[Path]:
    """What is, or would be, committed."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
    return [ROOT / name for name in listed if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_no_file_carries_a(kind: str) -> None:
    pattern = re.compile(FORBIDDEN[kind])
    found = []
    for path in files():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in pattern.finditer(text)]
    assert found == []


def test_the_patterns_find_what_they_are_for() -> None:
    samples = {
        "registry host": "https://files." + REGISTRIES[1] + "/x",
        "download address": "https://example.com/a" + ".tar.gz",
        "index option": "--index" + "-url x",
        "path of a machine": "see /ro" + "ot/x",
        "private key": "-----BEGIN PRIVATE " + "KEY-----",
        "token of a service": "ghp_" + "a" * 36,
    }
    assert samples.keys() == FORBIDDEN.keys()
    assert all(re.search(FORBIDDEN[kind], sample) for kind, sample in samples.items())


def test_no_file_is_larger_than_a_megabyte() -> None:
    large = {str(path.relative_to(ROOT)): path.stat().st_size for path in files() if path.stat().st_size > 1 << 20}
    assert large == {}


@pytest.mark.parametrize("name", ["LICENSE", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "Makefile", ".ci/run"])
def test_the_papers_are_there(name: str) -> None:
    assert (ROOT / name).stat().st_size > 0


def test_the_licence_is_the_one_declared() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text
    assert 'license = "Apache-2.0"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_contributing_fits_on_one_page() -> None:
    assert len((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8").splitlines()) <= 75
