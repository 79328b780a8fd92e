"""Where the built guest images are."""

from pathlib import Path

import sandboxes.images

NAMES = ("javascript", "python")

TYPE_ERASER = "typescript"
"""The TypeScript parser: built, compiled and loaded like an image, but not one. See `images.load_eraser`."""


def wasm_path(name: str) -> Path:
    """The built Wasm of an image. Raises FileNotFoundError that says how to build it."""
    path = Path(next(iter(sandboxes.images.__path__))) / "built" / f"{name}.wasm"
    if not path.is_file():
        raise FileNotFoundError(f"the guest image {path.name} is not built; run: python -m sandboxes.images.build")
    return path
