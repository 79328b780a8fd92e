"""runtime/rpc is what proto/generate.py makes of proto/, to the byte."""

import importlib.util
import os
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKED_IN = ROOT / "runtime" / "rpc"


def files(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in directory.iterdir() if path.is_file()}


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    specification = importlib.util.spec_from_file_location("generate", ROOT / "proto" / "generate.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    target = tmp_path_factory.mktemp("rpc")
    with pytest.MonkeyPatch.context() as patch:
        # protoc finds the generator of the type stubs there.
        patch.setenv("PATH", f"{sysconfig.get_path('scripts')}{os.pathsep}{os.environ.get('PATH', '')}")
        module.generate(target)
    return target


def test_the_same_files_are_generated(generated: Path) -> None:
    assert sorted(files(generated)) == sorted(files(CHECKED_IN))


@pytest.mark.parametrize("name", sorted(files(CHECKED_IN)))
def test_a_generated_file_is_current(generated: Path, name: str) -> None:
    assert files(CHECKED_IN)[name] == files(generated).get(name), "run make generate"
