"""Every request's event, kept in order: queued by the gate, written and counted by a thread of its own."""

import json
import queue
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from sandboxes.egress_event import to_ocsf

from .event_file import EventFile
from .metrics import Metrics

_CAPACITY = 65_536
_BATCH = 256
_PIECE: Final = 256 << 10  # bytes; small beside the least size of a file, so that files do not grow over theirs
_LINGER_S: Final = 0.02  # so that a busy proxy writes batches, and does not wake this thread for every request
_RETRY_S: Final = 0.25
_METRICS_S: Final = 2.0
_CLOSE_S: Final = 5.0
_END: Final = None


class EventLog:
    """`healthy` turns false while it falls behind or cannot write, and no request is let out until it can again."""

    def __init__(self, file: EventFile | None, metrics: Metrics, *, sync_s: float = 1.0) -> None:
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(_CAPACITY)
        self._broken = False
        self._file = file
        self._metrics = metrics
        self._sync_s = sync_s
        self._sync_due: float | None = None
        self._metrics_due: float | None = None
        self._closing = threading.Event()
        self._ended = False
        self._uid = secrets.token_hex(6)
        self._written = 0
        self._thread = threading.Thread(target=self._write_all, name="events", daemon=True)
        self._thread.start()

    @property
    def healthy(self) -> bool:
        """Whether another request can be recorded."""
        return not self._broken and self._queue.qsize() < _CAPACITY // 2

    def put(self, event: dict[str, Any]) -> None:
        """Queue an event; waits if the queue is full, because an event is never dropped."""
        self._queue.put(event)

    def fault(self, hook: str, kind: str) -> None:
        """Queue the event of a hook that failed."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.put({"time": now, "event": "fault", "hook": hook, "error": kind})

    def close(self) -> int:
        """Write what is queued and stop. Gives the number of events that could not be written."""
        self._closing.set()
        self._queue.put(_END)
        self._thread.join(_CLOSE_S)
        return self._queue.qsize() + (1 if self._broken else 0)

    def _write_all(self) -> None:
        while not self._ended:
            events = self._batch()
            for event in events:
                self._metrics.count(event)
            for lines in _pieces(map(self._line, events)):
                self._append(lines)
            self._keep_up()
        if self._file is not None:
            self._sync(self._file)
            self._file.close()
        self._metrics.write(healthy=False)

    def _batch(self) -> list[dict[str, Any]]:
        """The next event and whatever waits behind it; empty when something else is due first."""
        events: list[dict[str, Any]] = []
        try:
            event = self._queue.get(timeout=self._patience())
            if event is not _END and self._queue.empty():
                self._closing.wait(_LINGER_S)
            while event is not _END:
                events.append(event)
                if len(events) == _BATCH:
                    return events
                event = self._queue.get_nowait()
            self._ended = True
        except queue.Empty:
            pass
        return events

    def _patience(self) -> float | None:
        due = [moment for moment in (self._sync_due, self._metrics_due) if moment is not None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _line(self, event: dict[str, Any]) -> bytes:
        self._written += 1
        identified = {**event, "uid": f"{self._uid}-{self._written}"}
        return json.dumps(to_ocsf(identified), separators=(",", ":")).encode() + b"\n"

    def _append(self, data: bytes) -> None:
        """Write the batch, again and again while the disk does not take it: nothing is let out meanwhile."""
        if not data or (self._broken and self._closing.is_set()):
            return
        self._metrics_due = self._metrics_due or time.monotonic() + _METRICS_S
        while self._file is not None:
            try:
                self._file.append(data)
                self._broken = False
                break
            except OSError:
                self._broken = True
                if self._closing.wait(_RETRY_S):
                    return
        if self._sync_due is None:
            self._sync_due = time.monotonic() + self._sync_s

    def _keep_up(self) -> None:
        """Sync, and write the metrics, when that is due."""
        now = time.monotonic()
        if self._sync_due is not None and now >= self._sync_due:
            self._sync_due = None
            if self._file is not None:
                self._sync(self._file)
        if self._metrics_due is not None and now >= self._metrics_due:
            self._metrics_due = None
            self._metrics.write(healthy=self.healthy)

    def _sync(self, file: EventFile) -> None:
        try:
            file.sync()
        except OSError:
            self._broken = True  # until an append succeeds again


def _pieces(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The lines joined into pieces of about _PIECE bytes."""
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        if waiting and size + len(line) > _PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
        waiting.append(line)
        size += len(line)
    yield b"".join(waiting)
