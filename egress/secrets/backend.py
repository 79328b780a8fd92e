"""The one interface behind which places that keep secrets stand, and the error of all of them."""

from typing import Protocol

MAX_BYTES = 64 * 1024


class UnavailableError(Exception):
    """A secret cannot be read. The text says why, in words that hold nothing a server sent and no secret."""


class Backend(Protocol):
    """A place that keeps secrets. May block; the store calls those that speak to a network in a thread."""

    def read(self, path: str, field: str | None) -> bytes:
        """The value of an entry, or of one field of it, as it is now. Raises UnavailableError."""
