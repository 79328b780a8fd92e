"""A writer that keeps what it is given until it is told to send: one system call for a head and what follows it."""

import asyncio
from typing import Any


class CorkedWriter:
    """In place of a StreamWriter. Whoever writes calls `flush` in the same turn of the event loop."""

    def __init__(self, inner: asyncio.StreamWriter) -> None:
        self._inner = inner
        self._waiting: list[bytes] = []

    def write(self, data: bytes) -> None:
        """Send with the next flush."""
        self._waiting.append(data)

    def flush(self) -> None:
        """Send everything that waits."""
        if not self._waiting:
            return
        pieces, self._waiting = self._waiting, []
        if not self._inner.is_closing():
            self._inner.writelines(pieces)

    async def drain(self) -> None:
        """Send, and wait while the receiver is slow."""
        self.flush()
        await self._inner.drain()

    def write_eof(self) -> None:
        """Send, and say that nothing follows."""
        self.flush()
        self._inner.write_eof()

    def close(self) -> None:
        """Send, and close."""
        self.flush()
        self._inner.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)
