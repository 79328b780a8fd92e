"""The Makefile: what it promises without building anything."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROMISED = ["setup", "demo", "test", "check", "bench", "serve", "clean"]


def make(directory: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    command = [shutil.which("make") or "make", *arguments]
    return subprocess.run(
        command,
        cwd=directory,
        env=environ | ({"PATH": path} if path else {}),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A directory with what the Makefile reads before it does anything."""
    for name in ("Makefile", ".python-version", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "sandboxes" / "images").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A PATH with a shell's tools and no Python."""
    directory = tmp_path / "bin"
    directory.mkdir()
    for name in ("sh", "cat", "find", "touch", "mkdir", "echo"):
        (directory / name).symlink_to(shutil.which(name) or name)
    return directory


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("target", PROMISED)
def test_every_promised_target_is_there(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def test_without_a_python_it_says_so_in_one_line(checkout: Path, tools: Path) -> None:
    result = make(checkout, "setup", path=str(tools))
    assert result.returncode != 0
    assert "Lockgate needs Python 3.13 or newer" in result.stderr.splitlines()[0]


def test_an_old_python_is_not_taken(checkout: Path, tools: Path) -> None:
    script(tools / "python3", "exit 1")
    assert "Lockgate needs Python 3.13 or newer" in make(checkout, "setup", path=str(tools)).stderr


def test_a_named_python_is_taken_first_and_a_second_run_does_nothing(checkout: Path, tools: Path) -> None:
    fake = 'if [ "$1" = -m ] && [ "$2" = venv ]; then mkdir -p .venv/bin; cat "$0" > .venv/bin/python; fi'
    for name in ("python3.13", "python3"):
        script(tools / name, f'echo "{name} $*" >> calls\n{fake}')
    (tools / "chmod").symlink_to(shutil.which("chmod") or "chmod")
    script(
        tools / "python3.13",
        f'echo "python3.13 $*" >> calls\n{fake}\n[ -f .venv/bin/python ] && chmod +x .venv/bin/python; true',
    )
    (checkout / "sandboxes/images/built").mkdir()
    first = make(checkout, "setup", path=str(tools))
    calls = (checkout / "calls").read_text().splitlines()
    second = make(checkout, "setup", path=str(tools))
    assert first.returncode == 0, first.stderr
    assert all(call.startswith("python3.13 ") for call in calls)
    assert [call for call in calls if "--require-hashes -r constraints.txt" in call]
    assert calls[-1] == "python3.13 -m sandboxes.images.build"
    assert "Nothing to be done" in second.stdout
    assert (checkout / "calls").read_text().splitlines() == calls


def test_what_ci_runs_is_check_and_test() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert re.findall(r"^make (\w+)$", text, re.MULTILINE) == ["check", "test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
