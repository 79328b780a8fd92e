"""Locks without threads: whoever would wait for a lock waits for ever, and is told so; with a timeout, time passes."""

import _thread
import queue
import threading
from typing import Any

from lockgate.clock import sleep
from lockgate.host import DeadlockError


class Lock:
    """`threading.Lock` for one thread."""

    __slots__ = ("__weakref__", "_held")

    def __init__(self) -> None:
        self._held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:  # noqa: FBT001, FBT002 (its signature)
        """Take the lock; when it is taken, wait out the timeout or raise DeadlockError."""
        if not blocking and timeout != -1:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if not self._held:
            self._held = True
            return True
        if not blocking:
            return False
        if timeout < 0:
            raise DeadlockError("the program waits for a lock that nobody can release: there are no threads here")
        sleep(timeout)
        return False

    def release(self) -> None:
        """Give the lock back."""
        if not self._held:
            raise RuntimeError("release unlocked lock")
        self._held = False

    def locked(self) -> bool:
        """Tell whether it is taken."""
        return self._held

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"<{'locked' if self._held else 'unlocked'} lock>"

    acquire_lock, release_lock, locked_lock = acquire, release, locked

    def _at_fork_reinit(self) -> None:
        self._held = False


def install() -> None:
    """Put the lock behind `threading`; once, before the snapshot. Locks made before are never contended."""
    names: Any = threading
    names.Lock = names._allocate_lock = _thread.allocate_lock = _thread.allocate = Lock  # noqa: SLF001
    queue.SimpleQueue = queue._PySimpleQueue  # noqa: SLF001
