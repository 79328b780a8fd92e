"""Secrets in files, alone or in a directory as Kubernetes mounts them."""

import os
from pathlib import Path

from .backend import MAX_BYTES, UnavailableError

_KEPT = 1_000


class FileBackend:
    """`path` is a file, or a directory whose file `field` holds the secret.

    A file is read again whenever it changed; one newline at its end is not part of the value. In a directory links are
    followed within it: Kubernetes makes every key one, through `..data`, and replaces that.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str | None], tuple[object, bytes]] = {}

    def read(self, path: str, field: str | None) -> bytes:
        """The file's bytes without a final newline."""
        try:
            return self._read(Path(path), field)
        except OSError as error:
            self._known.pop((path, field), None)
            raise UnavailableError(f"its file cannot be read: {_said(error)}") from None

    def _read(self, path: Path, field: str | None) -> bytes:
        file = path if field is None else _inside(path, field)
        with file.open("rb") as opened:
            status = os.fstat(opened.fileno())
            version = (status.st_mtime_ns, status.st_ino, status.st_dev, status.st_size)
            known = self._known.get((str(path), field))
            if known is not None and known[0] == version:
                return known[1]
            value = opened.read(MAX_BYTES + 2).removesuffix(b"\n").removesuffix(b"\r")
        if len(self._known) < _KEPT:
            self._known[str(path), field] = (version, value)
        return value


def _inside(directory: Path, name: str) -> Path:
    """The file that `name` leads to, if that is within the directory."""
    found = (directory / name).resolve(strict=True)
    if not found.is_relative_to(directory.resolve(strict=True)):
        raise UnavailableError("its file is a link that leads out of its directory")
    return found


def _said(error: OSError) -> str:
    return os.strerror(error.errno).lower() if error.errno else "the system refused"
