"""How far upstreams are with the host calls of one execution, as often as anybody needs to know."""

import math
import time
from typing import Final

from runtime.execution.execution import CallProgress, Execution, HostCallRecord

LEAST_PAUSE_S: Final = 0.25
"""Between two reports of one call."""
MOST_REPORTS: Final = 500
"""Of one execution: they are kept as long as it is."""
MOST_MESSAGE: Final = 500


class ProgressReports:
    """Takes every report and lets some through. An upstream decides how many it sends, and what they say."""

    def __init__(self, execution: Execution) -> None:
        self._execution = execution
        self._told = 0
        self._next: dict[int, float] = {}

    def report(self, record: HostCallRecord, progress: float, total: float, message: str) -> None:
        """One report of a call that is under way."""
        now = time.monotonic()
        if record.ended or self._told >= MOST_REPORTS or now < self._next.get(record.number, 0.0):
            return
        if not math.isfinite(progress):
            return
        self._told += 1
        self._next[record.number] = now + LEAST_PAUSE_S
        words = message[:MOST_MESSAGE].encode("utf-8", "replace").decode()
        self._execution.happened(CallProgress(record, progress, total if math.isfinite(total) else 0.0, words))
