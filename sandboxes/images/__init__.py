"""Guest images: where built ones are. `python -m sandboxes.images.build` makes them."""

from pathlib import Path

from sandboxes.image import BASE_IMAGES as IMAGES

__all__ = ["BUILT", "IMAGES", "image_path"]

BUILT = Path(__file__).parent / "built"


def image_path(name: str) -> Path:
    """Return where the image's WebAssembly is once built; the record beside it ends in `.json`."""
    return BUILT / f"{name}.wasm"
