"""When an image is built again, and how a module's parts are read and written."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandboxes.images import build, wasm_module


class Toy:
    def __init__(self) -> None:
        self.digest, self.builds = "one", 0

    def inputs(self) -> str:
        return self.digest

    def build(self, target: Path, report: Callable[[str], None]) -> dict[str, Any]:
        self.builds += 1
        target.write_bytes(f"image of {self.digest}".encode())
        report("toy: made")
        return {"inputs": self.digest, "bytes": target.stat().st_size}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Toy:
    builder = Toy()
    monkeypatch.setattr(build, "_builder", lambda *_: builder)
    monkeypatch.setattr(build, "image_path", lambda name: tmp_path / f"{name}.wasm")
    return builder


def test_builds_once_and_records(toy: Toy, tmp_path: Path) -> None:
    said: list[str] = []
    build.build_image("toy", said.append)
    build.build_image("toy", said.append)
    assert toy.builds == 1
    assert said[0] == "toy: made"
    assert said[-1] == "toy: up to date"
    record = json.loads((tmp_path / "toy.json").read_text())
    assert record["digest"] == hashlib.sha256(b"image of one").hexdigest()
    assert (record["name"], record["inputs"]) == ("toy", "one")


SPOILT = {
    "inputs changed": lambda toy, _: setattr(toy, "digest", "two"),
    "image changed": lambda _, folder: (folder / "toy.wasm").write_bytes(b"other"),
    "image gone": lambda _, folder: (folder / "toy.wasm").unlink(),
    "record gone": lambda _, folder: (folder / "toy.json").unlink(),
    "record broken": lambda _, folder: (folder / "toy.json").write_text("{"),
    "record is no object": lambda _, folder: (folder / "toy.json").write_text("[]"),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_builds_again_when(toy: Toy, tmp_path: Path, spoil: Callable[[Toy, Path], object]) -> None:
    build.build_image("toy", lambda _: None)
    spoil(toy, tmp_path)
    build.build_image("toy", lambda _: None)
    assert toy.builds == 2


def test_unknown_image_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["ruby"]) == 1
    assert 'there is no image "ruby" (images: data-basics, javascript, python' in capsys.readouterr().err


def test_a_failed_build_is_told_and_gives_status_1(
    toy: Toy, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the compiler said no")

    monkeypatch.setattr(toy, "build", fail)
    assert build.main(["javascript"]) == 1
    assert "the compiler said no" in capsys.readouterr().err


@given(st.integers(min_value=0, max_value=2**64))
def test_unsigned_numbers_come_back(value: int) -> None:
    written = wasm_module.unsigned(value)
    assert wasm_module.read_unsigned(b"x" + written, 1) == (value, 1 + len(written))


SIGNED = [(0, "00"), (63, "3f"), (64, "c000"), (-1, "7f"), (-64, "40"), (-65, "bf7f"), (1 << 20, "8080c000")]


@pytest.mark.parametrize(("value", "written"), SIGNED)
def test_signed_numbers(value: int, written: str) -> None:
    assert wasm_module.signed(value).hex() == written
