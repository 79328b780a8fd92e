"""Documents as they were after reading, kept so that the next start need not read YAML or convert again.

Security boundary. Files are JSON and nothing that runs, in a directory of the state directory; one that is not a
regular file of this user with mode 0600, is too large, or whose digest does not fit is no entry. What it held is then
read from the document itself.
"""

import contextlib
import hashlib
import json
import logging
import os
import stat
import tempfile
from pathlib import Path
from typing import Any, Final

log = logging.getLogger(__name__)

MAX_BYTES: Final = 128 << 20
MAX_FILES: Final = 40
_HEAD: Final = b"lockgate-document 1 "


def code_version() -> bytes:
    """Digest of the code that reads documents: an entry of other code is none."""
    here = Path(__file__).parent
    digest = hashlib.sha256()
    for name in ("openapi_document.py", "swagger.py", "document_cache.py"):
        digest.update((here / name).read_bytes())
    return digest.digest()


class DocumentCache:
    """One directory of entries, by the digest of what was read and of the code that read it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._code = code_version()

    def key(self, data: bytes) -> str:
        """The entry's name for a document's bytes."""
        return hashlib.sha256(self._code + hashlib.sha256(data).digest()).hexdigest()

    def find(self, key: str) -> dict[str, Any] | None:
        """The document of an entry. None if there is none that can be trusted to be what was stored."""
        try:
            body = _read(self._directory / f"{key}.json")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            log.warning("the cached document %s is not used: %s", key[:12], error)
            return None
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            return None
        return document if isinstance(document, dict) else None

    def keep(self, key: str, document: dict[str, Any]) -> None:
        """Store an entry; a full disk or a directory that cannot be written is not an error."""
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        if len(body) > MAX_BYTES:
            return
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            _write(self._directory, f"{key}.json", _HEAD + hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
            self._prune()
        except OSError as error:
            log.warning("the document %s is not cached: %s", key[:12], error)

    def _prune(self) -> None:
        """Only the newest files stay."""
        files = sorted(self._directory.glob("*.json"), key=lambda path: path.lstat().st_mtime_ns, reverse=True)
        for path in files[MAX_FILES:]:
            path.unlink(missing_ok=True)


def _read(path: Path) -> bytes:
    """The body of an entry. Raises OSError, and ValueError for a file that is not as it was stored."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise ValueError("it is not a file")
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise ValueError(f"others may have written it (owner {found.st_uid}, mode {found.st_mode & 0o777:o})")
        if found.st_size > MAX_BYTES + 200:
            raise ValueError(f"it has {found.st_size} bytes")
        head, _, body = file.read().partition(b"\n")
    if head != _HEAD + hashlib.sha256(body).hexdigest().encode():
        raise ValueError("it is not as it was stored")
    return body


def _write(directory: Path, name: str, data: bytes) -> None:
    descriptor, scratch = tempfile.mkstemp(prefix=".", dir=directory)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(scratch).replace(directory / name)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(scratch).unlink()
        raise
