"""Build guest images: `python -m sandboxes.images.build [image]...`.

Images are those that Lockgate has of its own, all of which are built if none is named, and those declared in a file
`<image>.yaml`, here or in the directories named by `--from`.
"""

import argparse
import hashlib
import importlib
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from sandboxes.image_file import ImageError, load_images
from sandboxes.images import BUILT, IMAGES, image_path


class Builder(Protocol):
    """What `build_<language>` modules offer."""

    def inputs(self) -> str:
        """Digest of everything the image is made from."""

    def build(self, target: Path, report: Callable[[str], None]) -> dict[str, Any]:
        """Build the image to `target` and return what is to be recorded about it."""


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def _builder(name: str, directories: Sequence[Path] = ()) -> Builder:
    """Imported when needed: building takes packages that running does not. Raises RuntimeError for an unknown name."""
    if name in IMAGES:
        return importlib.import_module(f"sandboxes.images.build_{name}")
    from sandboxes.images.build_packages import PackageImage  # noqa: PLC0415

    try:
        return PackageImage(load_images(directories).get(name))
    except (LookupError, ImageError) as error:
        raise RuntimeError(error.args[0]) from None


def is_current(name: str, inputs: str) -> bool:
    """Whether the built image is there and was made from these inputs."""
    record = image_path(name).with_suffix(".json")
    try:
        known = json.loads(record.read_text())
        return bool(known["inputs"] == inputs and known["digest"] == _digest(image_path(name)))
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def build_image(
    name: str, report: Callable[[str], None] = _say, *, again: bool = False, directories: Sequence[Path] = ()
) -> None:
    """Build one image unless its inputs did not change; `again` builds it in any case.

    Raises RuntimeError that says what is wrong.
    """
    builder = _builder(name, directories)
    if not again and is_current(name, builder.inputs()):
        report(f"{name}: up to date")
        return
    started = time.monotonic()
    target = image_path(name)
    facts = builder.build(target, report)
    record = {"name": name, "digest": _digest(target), "inputs": builder.inputs(), **facts}
    scratch = target.with_suffix(".json.part")
    scratch.write_text(json.dumps(record, indent=2) + "\n")
    scratch.replace(target.with_suffix(".json"))
    report(f"{name}: built in {time.monotonic() - started:.0f} s, {record['digest'][:12]}")


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sandboxes.images.build", description=__doc__)
    parser.add_argument("images", nargs="*", metavar="image", help=f"{', '.join(IMAGES)}, or one that is declared")
    parser.add_argument("--again", action="store_true", help="build even if nothing changed")
    parser.add_argument(
        "--from", dest="directories", action="append", type=Path, default=[], help="a directory of declared images"
    )
    options = parser.parse_args(arguments)
    BUILT.mkdir(parents=True, exist_ok=True)
    for name in options.images or IMAGES:
        try:
            build_image(name, again=options.again, directories=options.directories)
        except RuntimeError as error:
            _say(f"{name}: {error}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
