"""Declared images from YAML files: one image a file, called like the file."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sandboxes.document import read_document
from sandboxes.image import BASE_IMAGES, Image
from sandboxes.problem import DocumentError
from sandboxes.validation import nearest, validate
from sandboxes.yaml_directory import Declared, load_directories

SHIPPED: Final = Path(__file__).parent / "images"
"""The directory of the declarations that come with Lockgate."""


class ImageError(DocumentError):
    """Image files that cannot be used; the text has one line per problem: file, line, column, key path."""


def load_image(path: Path) -> Image:
    """The image that the file `path` declares. Raises ImageError, also for a file that cannot be read."""
    try:
        return _declared(path).model
    except DocumentError as error:
        raise ImageError(error.problems) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageStore:
    """The declared images by name, and the file of each."""

    images: Mapping[str, Image] = field(default_factory=lambda: MappingProxyType({}))
    files: Mapping[str, Path] = field(default_factory=lambda: MappingProxyType({}))

    def get(self, name: str) -> Image:
        """The image called `name`. Raises LookupError that names the nearest and all there are."""
        if (image := self.images.get(name)) is not None:
            return image
        known = sorted((*self.images, *BASE_IMAGES))
        raise LookupError(f'there is no image "{name}"{nearest(name, known)} (images: {", ".join(known)})')

    def build_command(self, name: str) -> str:
        """What builds the image `name`."""
        directory = self.files[name].parent
        place = "" if directory == SHIPPED.resolve() else f" --from {directory}"
        return f"python -m sandboxes.images.build {name}{place}"


def load_images(directories: Iterable[Path] = ()) -> ImageStore:
    """Every `*.yaml` of the directories, after the shipped ones. Raises ImageError with the problems of all files."""
    try:
        found = load_directories([SHIPPED, *directories], _declared, kind="image")
    except DocumentError as error:
        raise ImageError(error.problems) from None
    return ImageStore(images=found.models, files=found.files)


def _declared(path: Path) -> Declared[Image]:
    document = read_document(path)
    image = validate(Image, document)
    if image.name != path.stem:
        message = f'the image of this file is called like the file: "{path.stem}", not "{image.name}"'
        raise DocumentError((document.problem("name", document.mark("name"), message),))
    return Declared(name=image.name, model=image, document=document)
