"""Turns for guests that run: as many at once as there are slots, first come first served."""

import threading
import time
from collections import deque


class RunSlots:
    """A counting semaphore with FIFO hand-over.

    Without it a deadline is noticed late, because the thread that has to notice is not scheduled.
    """

    def __init__(self, count: int) -> None:
        self._lock = threading.Lock()
        self._free = count
        self._waiting: deque[threading.Lock] = deque()

    @property
    def contended(self) -> bool:
        """Whether somebody waits for a slot."""
        return bool(self._waiting)

    @property
    def taken(self) -> bool:
        """Whether who asked now would have to wait."""
        return not self._free or bool(self._waiting)

    def acquire(self, deadline: float) -> bool:
        """Wait for a slot until `deadline` (monotonic seconds); false if it did not come in time."""
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                return True
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
            return True
        with self._lock:
            if turn in self._waiting:
                self._waiting.remove(turn)
                return False
        # The slot was handed over between the time-out and the lock: pass it on.
        self.release()
        return False

    def release(self) -> None:
        """Give the slot back, to the longest waiting if there is one."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1

    def leave(self) -> None:
        """As `release`, at the end of a program: its thread does not wait, and can do something else."""
        RunSlots.release(self)
