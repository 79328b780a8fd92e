"""The packages of the image as `importlib.metadata` knows them."""

from collections.abc import Iterator
from importlib.metadata import Distribution, Prepared

from lockgate.library import Place, distribution_folders


class Packaged(Distribution):
    """One package's `.dist-info` folder."""

    def __init__(self, folder: str) -> None:
        self._folder = Place(folder)

    def read_text(self, filename: str) -> str | None:
        """Read one of the folder's files; None if it has none of that name."""
        file = self._folder / filename
        return file.read_text() if file.is_file() else None

    def locate_file(self, path: object) -> Place:
        """Find a file of the package, named from where the folder is."""
        return Place("") / path


_FOLDERS = {Prepared.normalize(folder.partition("-")[0]): folder for folder in distribution_folders()}


def find(context: Distribution.Context) -> Iterator[Packaged]:
    """Find every package, or the one that the context names."""
    if context.name is None:
        return map(Packaged, _FOLDERS.values())
    folder = _FOLDERS.get(Prepared.normalize(context.name))
    return iter([Packaged(folder)] if folder else [])


def described() -> str:
    """Name all of them."""
    return ", ".join(sorted(str(package.name) for package in map(Packaged, _FOLDERS.values())))
