"""The beginning of a body as an event keeps it: bounded, without secrets, text where it is text."""

import base64
from typing import Any

from .redaction import Redactor, StreamRedactor, UnfinishedError


class BodyRecord:
    """Keeps the first `limit` bytes of what it is fed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._size = 0

    def add(self, data: bytes) -> None:
        """The next piece."""
        self._size += len(data)
        self._kept += data[: self._limit - len(self._kept)]

    def shown(self, redactor: Redactor) -> dict[str, Any] | None:
        """`text`, or `base64` for what is not UTF-8, with `bytes` of the whole body; None for an empty one."""
        if not self._size:
            return None
        clean = self._clean(redactor)
        try:
            said = {"text": clean.decode()}
        except UnicodeDecodeError as error:
            if self._size > len(self._kept) and error.start >= len(clean) - 3:
                said = {"text": clean[: error.start].decode()}  # cut in the middle of a character
            else:
                said = {"base64": base64.b64encode(clean).decode()}
        return {**said, "bytes": self._size, "truncated": self._size > len(self._kept)}

    def _clean(self, redactor: Redactor) -> bytes:
        """Where the body goes on, what may be the beginning of a secret is left out with the rest of it."""
        stream = StreamRedactor(redactor)
        try:
            clean = stream.feed(bytes(self._kept))
        except UnfinishedError:
            return b""
        return clean if self._size > len(self._kept) else clean + stream.finish()
