"""How much of its answers a program may leave lying in its worker."""

import asyncio

WINDOW = 4 << 20
"""Characters of answers on their way or not yet taken, beyond which no further host call begins."""


class Window:
    """Counts answers sent to a worker against those the program has taken. On the event loop.

    A worker tells what was taken in steps smaller than the window, so a program that has taken all is never kept
    waiting. Answers to calls that had begun still go out: what a worker holds for one execution is at most the window
    and its parallel host calls' answers.
    """

    def __init__(self, size: int = WINDOW) -> None:
        self._size = size
        self._sent = 0
        self._taken = 0
        self._open = asyncio.Event()
        self._open.set()

    def sent(self, size: int) -> None:
        """An answer goes to the worker."""
        self._sent += size
        self._look()

    def taken(self, total: int) -> None:
        """The worker says how much the program has taken in all; more than was sent counts as all of it."""
        self._taken = max(self._taken, min(total, self._sent))
        self._look()

    def _look(self) -> None:
        if self._sent - self._taken < self._size:
            self._open.set()
        else:
            self._open.clear()

    async def wait_open(self) -> None:
        """Wait until the program has taken enough of its answers."""
        await self._open.wait()
