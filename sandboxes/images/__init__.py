"""Guest images: where built ones are. `python -m sandboxes.images.build` makes them."""

from pathlib import Path

IMAGES = ("javascript", "python", "typescript")
BUILT = Path(__file__).parent / "built"


def image_path(name: str) -> Path:
    """Return where the image's WebAssembly is once built; the record beside it ends in `.json`."""
    return BUILT / f"{name}.wasm"
