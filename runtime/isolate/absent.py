"""What the Python image imports and the host does not have: reaching for it is recorded, and stops the guest.

An interpreter reaches for these only as it dies (an abort, an exit, a panic) or when a program goes behind its
standard library. Without the record the host would see a trap and not know why.
"""

import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

from runtime.isolate.guest import Guest

_STDERR: Final = "wasi:cli/stderr"
_DROP: Final = "resource 3 "  # the canonical ABI's operation that gives a handle back
_HANDLE: Final = 1
_WRITES: Final = ("[method]output-stream.write", "[method]output-stream.blocking-write-and-flush")
_CHECK_WRITE: Final = "[method]output-stream.check-write"
_MOST_WORDS: Final = 200
# `result<u64, stream-error>`: ok, and how many bytes may be written.
_ROOM: Final = struct.pack("<QQ", 0, _MOST_WORDS)


class Here(Protocol):
    """The isolate that reached for something."""

    @property
    def guest(self) -> Guest:
        """Whose program runs there."""

    def text(self, pointer: int, length: int) -> str:
        """A string of the guest's."""

    def answer(self, pointer: int, data: bytes) -> None:
        """Write a function's result."""


class NotInTheSandboxError(Exception):
    """Ends the guest that reached for what is not there."""


def absent_function(interface: str, name: str) -> Callable[..., int | None]:
    """The host function behind an import that leads nowhere.

    A dying interpreter's first words on standard error are recorded too, as "stderr: ...".
    """
    if name.startswith(_DROP):
        return lambda _here, _handle: None
    if interface == _STDERR:
        return lambda _here: _HANDLE
    if name == _CHECK_WRITE:
        return lambda here, _handle, returned: here.answer(returned, _ROOM)
    if name in _WRITES:
        return _last_words
    return _stop(f"{interface} {name}")


def _stop(what: str) -> Callable[..., None]:
    def stop(here: Here, *_: Any) -> None:
        here.guest.reached = what
        raise NotInTheSandboxError(what)

    return stop


def _last_words(here: Here, _handle: int, words: int, length: int, _returned: int) -> None:
    here.guest.reached = "stderr: " + here.text(words, min(length & 0xFFFFFFFF, _MOST_WORDS))
    raise NotInTheSandboxError(here.guest.reached)
