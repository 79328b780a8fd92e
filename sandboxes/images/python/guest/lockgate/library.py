"""The standard library inside the image, and declared packages: one blob of code objects behind an import finder.

After the snapshot there is no file system, so whatever may ever be imported is in memory: `library.json` says where
each module's marshalled code and each data file lies in `library.blob`. Packages have `__file__` below `/packages`,
because some look for their data beside it; nothing is there to open, but their loader reads it.
"""

import io
import json
import marshal
import sys
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

_modules: dict[str, tuple[int, int, bool]] = {}
_files: dict[str, tuple[int, int]] = {}
_blob = memoryview(b"")
_packaged: frozenset[str] = frozenset()
declared: dict[str, list[str]] = {"preload": [], "practice": []}
"""What the image's declaration asks for before the snapshot."""
ROOT = "/packages"


def _read(path: str) -> bytes:
    start, end = _files[path]
    return bytes(_blob[start:end])


class Place:
    """A data file or a folder of them, in the shape of `importlib.resources.abc.Traversable`."""

    def __init__(self, path: str) -> None:
        self._path = path.strip("/")

    def __str__(self) -> str:
        return f"{ROOT}/{self._path}"

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._path.rpartition("/")[2]

    def joinpath(self, *parts: object) -> "Place":
        """Go down, or up by `..`."""
        place = self._path.split("/") if self._path else []
        for part in "/".join(str(part) for part in parts).split("/"):
            if part == "..":
                place = place[:-1]
            elif part not in {"", "."}:
                place = [*place, part]
        return Place("/".join(place))

    def __truediv__(self, part: object) -> "Place":
        return self.joinpath(part)

    def is_file(self) -> bool:
        """Tell whether it is a data file."""
        return self._path in _files

    def is_dir(self) -> bool:
        """Tell whether there are data files below, or it is a package."""
        return self._path.replace("/", ".") in _modules or any(path.startswith(f"{self._path}/") for path in _files)

    def exists(self) -> bool:
        """Tell whether it is anything."""
        return self.is_file() or self.is_dir() or self._path.removesuffix(".py").replace("/", ".") in _modules

    def iterdir(self) -> Iterator["Place"]:
        """Go through the data files and folders directly in it."""
        return iter([self / name for name in Files(self._path).contents()])

    def read_bytes(self) -> bytes:
        """Read the data file; FileNotFoundError if it is none."""
        if not self.is_file():
            raise FileNotFoundError(str(self))
        return _read(self._path)

    def read_text(self, encoding: str | None = None, errors: str | None = None) -> str:
        """Read the data file as text."""
        return self.read_bytes().decode(encoding or "utf-8", errors or "strict")

    def open(self, mode: str = "r", *args: Any, **kwargs: Any) -> io.IOBase:
        """Open the data file for reading."""
        if set(mode) - set("rbt"):
            raise PermissionError(f"{self} can only be read")
        data = io.BytesIO(self.read_bytes())
        return data if "b" in mode else io.TextIOWrapper(data, *args, **kwargs)


class Files:
    """Data files of one package, as `importlib.resources` wants to read them."""

    def __init__(self, package: str) -> None:
        self._folder = package.replace(".", "/") + "/"

    def files(self) -> Place:
        """The package's folder."""
        return Place(self._folder)

    def open_resource(self, resource: str) -> io.BytesIO:
        """Open a data file; FileNotFoundError if the image has none of that name."""
        path = self._folder + resource
        if path not in _files:
            raise FileNotFoundError(path)
        return io.BytesIO(_read(path))

    def resource_path(self, resource: str) -> str:
        """Refuse: nothing here has a path."""
        raise FileNotFoundError(self._folder + resource)

    def is_resource(self, path: str) -> bool:
        """Tell whether the package has a data file of that name."""
        return self._folder + path in _files

    def contents(self) -> list[str]:
        """List the names directly in the package."""
        inside = (path[len(self._folder) :] for path in _files if path.startswith(self._folder))
        return sorted({name.split("/")[0] for name in inside})


class Library:
    """Finder and loader of everything in the blob."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG004 (protocol)
        """Find a module of the library."""
        entry = _modules.get(name)
        if entry is None:
            return None
        spec = ModuleSpec(name, Library, origin=f"<{name}>", is_package=entry[2])
        if entry[2]:
            spec.submodule_search_locations = [f"<{name}>"]
        if name in _packaged:
            _place(spec)
        return spec

    @staticmethod
    def find_distributions(context: object = None) -> Iterable[object]:
        """Find the packages that an image declares, for `importlib.metadata`."""
        # Imported before the snapshot by images that have packages; the others have nothing to find.
        distributions = sys.modules.get("lockgate.distributions")
        return distributions.find(context) if distributions is not None else ()

    @staticmethod
    def create_module(spec: ModuleSpec) -> None:
        """Leave the making of the module to the import system."""

    @staticmethod
    def exec_module(module: object) -> None:
        """Run a module's code in its namespace."""
        exec(Library.get_code(module.__spec__.name), module.__dict__)  # noqa: S102

    @staticmethod
    def get_code(name: str) -> object:
        """Load a module's code object."""
        entry = _modules.get(name)
        if entry is None:
            raise ImportError(f"no module named {name!r} in the image", name=name)
        return marshal.loads(_blob[entry[0] : entry[1]])  # noqa: S302 (our own image)

    @staticmethod
    def get_source(name: str) -> None:
        """Say that sources are not kept."""

    @staticmethod
    def is_package(name: str) -> bool:
        """Tell whether a module is a package."""
        return _modules[name][2]

    @staticmethod
    def get_resource_reader(name: str) -> Files:
        """Read a package's data files."""
        return Files(name)

    @staticmethod
    def get_data(path: str) -> bytes:
        """Read a data file by the path `pkgutil.get_data` makes of it; OSError if there is none."""
        key = path.replace("<", "").replace(">", "").removeprefix(ROOT).lstrip("/")
        if key not in _files:
            raise OSError(f"no such file in the image: {path}")
        return _read(key)


def _place(spec: ModuleSpec) -> None:
    """Give a package's module the path it would have if it were installed."""
    path = f"{ROOT}/{spec.name.replace('.', '/')}"
    if spec.submodule_search_locations is not None:
        spec.submodule_search_locations = [path]
        path += "/__init__"
    spec.origin = f"{path}.py"
    spec.has_location = True


def install(folder: Path) -> None:
    """Read blob and index from `folder` (build time) and put the finder before every other."""
    global _blob, _packaged  # noqa: PLW0603 (one image, one library)
    index = json.loads((folder / "library.json").read_text())
    _modules.update({name: tuple(entry) for name, entry in index["modules"].items()})
    _files.update({path: tuple(entry) for path, entry in index["files"].items()})
    if packages := index.get("packages"):
        _packaged = frozenset(packages.pop("modules"))
        declared.update(packages)
    _blob = memoryview((folder / "library.blob").read_bytes())
    sys.meta_path.insert(0, Library)


def names() -> list[str]:
    """List every module of the library."""
    return sorted(_modules)


def distribution_folders() -> list[str]:
    """List the `.dist-info` folders of the packages."""
    return sorted({path.partition("/")[0] for path in _files if ".dist-info/" in path})
