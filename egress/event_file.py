"""The event file: appended to whole batch by whole batch, bounded by turning it over, shared by several processes."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

_MODE = 0o600


class EventFile:
    """Appends to `path` (mode 0600). At `most_bytes` it becomes `path.1`, that one `path.2`, up to `most_files` in all.

    Every process takes `path.lock` for a batch, so a batch is there whole or not at all, and lines never mix.
    """

    def __init__(self, path: str, *, most_bytes: int, most_files: int) -> None:
        self._path = Path(path)
        self._most_bytes = most_bytes
        self._most_files = most_files
        self._lock = _opened(Path(f"{path}.lock"))
        self._file = _opened(self._path)
        with self._locked():
            self._end_torn_line()

    def append(self, data: bytes) -> None:
        """Write a batch of whole lines. Raises OSError, with nothing of them in the file."""
        with self._locked():
            self._follow()
            size = os.fstat(self._file).st_size
            if size and size + len(data) > self._most_bytes:
                self._turn_over()
                size = 0
            try:
                _write(self._file, data)
            except OSError:
                os.ftruncate(self._file, size)
                raise

    def sync(self) -> None:
        """Have what was written survive a crash of the machine. Raises OSError."""
        os.fdatasync(self._file)

    def close(self) -> None:
        """Let go of the files."""
        os.close(self._file)
        os.close(self._lock)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _follow(self) -> None:
        """Go on in the present file, if another process or an operator moved ours away."""
        try:
            present = self._path.stat()
        except FileNotFoundError:
            present = None
        ours = os.fstat(self._file)
        if present is None or (present.st_ino, present.st_dev) != (ours.st_ino, ours.st_dev):
            self._reopen()

    def _turn_over(self) -> None:
        os.fdatasync(self._file)
        kept = [self._path, *(Path(f"{self._path}.{number}") for number in range(1, self._most_files))]
        for older, newer in zip(reversed(kept[1:]), reversed(kept[:-1]), strict=True):
            with contextlib.suppress(FileNotFoundError):
                newer.replace(older)
        if len(kept) == 1:
            self._path.unlink(missing_ok=True)
        self._reopen()

    def _reopen(self) -> None:
        fresh = _opened(self._path)
        os.close(self._file)
        self._file = fresh

    def _end_torn_line(self) -> None:
        """A machine that went down in the middle of a line leaves half of it: the next one starts afresh."""
        size = os.fstat(self._file).st_size
        if size and os.pread(self._file, 1, size - 1) != b"\n":
            with contextlib.suppress(OSError):
                _write(self._file, b"\n")


def _opened(path: Path) -> int:
    file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, _MODE)
    os.fchmod(file, _MODE)
    return file


def _write(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
