"""The standard library inside the image: one blob of code objects behind an import finder.

After the snapshot there is no file system, so whatever may ever be imported is in memory: `library.json` says where
each module's marshalled code and each data file lies in `library.blob`.
"""

import io
import json
import marshal
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path

_modules: dict[str, tuple[int, int, bool]] = {}
_files: dict[str, tuple[int, int]] = {}
_blob = memoryview(b"")


def _read(path: str) -> bytes:
    start, end = _files[path]
    return bytes(_blob[start:end])


class Files:
    """Data files of one package, as `importlib.resources` wants to read them."""

    def __init__(self, package: str) -> None:
        self._folder = package.replace(".", "/") + "/"

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
        return spec

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
        key = path.replace("<", "").replace(">", "").lstrip("/")
        if key not in _files:
            raise OSError(f"no such file in the image: {path}")
        return _read(key)


def install(folder: Path) -> None:
    """Read blob and index from `folder` (build time) and put the finder before every other."""
    global _blob  # noqa: PLW0603 (one image, one library)
    index = json.loads((folder / "library.json").read_text())
    _modules.update({name: tuple(entry) for name, entry in index["modules"].items()})
    _files.update({path: tuple(entry) for path, entry in index["files"].items()})
    _blob = memoryview((folder / "library.blob").read_bytes())
    sys.meta_path.insert(0, Library)


def names() -> list[str]:
    """List every module of the library."""
    return sorted(_modules)
