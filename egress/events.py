"""The event file: one JSON line per request, written in order by a thread of its own."""

import json
import os
import queue
import threading
from typing import Any, Final

_CAPACITY = 65_536
_BATCH = 256
_END: Final = None


class EventLog:
    """Appends events to a file of mode 0600. `healthy` turns false when it falls behind or cannot write."""

    def __init__(self, path: str | None) -> None:
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(_CAPACITY)
        self._broken = False
        self._file: int | None = None
        if path is not None:
            self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.fchmod(self._file, 0o600)
        self._thread = threading.Thread(target=self._write_all, name="events", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether another request can be recorded."""
        return not self._broken and self._queue.qsize() < _CAPACITY // 2

    def put(self, event: dict[str, Any]) -> None:
        """Queue an event; waits if the queue is full, because an event is never dropped."""
        self._queue.put(event)

    def close(self) -> None:
        """Write what is queued and stop."""
        self._queue.put(_END)
        self._thread.join(timeout=5)
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def _write_all(self) -> None:
        while self._write_batch(self._queue.get()):
            pass

    def _write_batch(self, event: dict[str, Any] | None) -> bool:
        """Write an event and whatever waits behind it. False at the end."""
        lines: list[bytes] = []
        while event is not None:
            lines.append(json.dumps(event, separators=(",", ":")).encode() + b"\n")
            if len(lines) == _BATCH or self._queue.empty():
                break
            event = self._queue.get()
        self._append(b"".join(lines))
        return event is not None

    def _append(self, data: bytes) -> None:
        if self._file is None:
            return
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            self._broken = True
