"""Notices that the operator edited a file. Polled: it works on every file system and through every kind of link."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

type Stamp = tuple[tuple[str, int, int, int], ...]
_MOST_BYTES = 1 << 20


class Watch:
    """Files and directories. `changed` tells whether their content is another than when it was last asked."""

    def __init__(self, places: Iterable[Path]) -> None:
        self._places = tuple(places)
        self._stamp = _stamp(self._places)
        self._digest = _digest(self._stamp)

    def changed(self) -> bool:
        """Looks at the times first, and at contents only where they moved."""
        stamp = _stamp(self._places)
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        before, self._digest = self._digest, _digest(stamp)
        return self._digest != before


def _stamp(places: Iterable[Path]) -> Stamp:
    """Name, time, size and number of every file; a place that is not there adds nothing."""
    found = []
    for path in sorted(path for place in places for path in _files(place)):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return tuple(found)


def _files(place: Path) -> list[Path]:
    try:
        return [path for path in place.iterdir() if path.suffix in {".yaml", ".yml"}] if place.is_dir() else [place]
    except OSError:
        return []


def _digest(stamp: Stamp) -> str:
    """Over names and contents. A file that cannot be read counts as its name and size."""
    digest = hashlib.sha256()
    for name, _, size, _ in stamp:
        digest.update(f"{name}\0{size}\0".encode())
        try:
            with Path(name).open("rb") as file:
                digest.update(file.read(_MOST_BYTES))
        except OSError:
            continue
    return digest.hexdigest()
