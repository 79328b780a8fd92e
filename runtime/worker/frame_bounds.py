"""How long each kind of frame from a worker may be, by the limits of the execution it speaks of."""

from runtime.isolate import GuestLimits
from runtime.isolate.guest import LINES_IN_A_FRAME, MOST_ERROR_BYTES
from runtime.worker.frames import CALL_HEAD, LINE_HEAD, MOST_CALL_NAME, Kind
from runtime.worker.replay_frames import MOST_TRACE_FRAME

MOST_HELLO = 16 << 10
"""The report of the walls."""
MOST_SMALL = 4 << 10
"""Of frames that say next to nothing, and of those about an execution that is not in the worker."""


def most_payload(kind: int, limits: GuestLimits | None) -> int:
    """Bytes a frame of `kind` may have; `limits` are those of its execution, None if the worker has no such one."""
    if kind == Kind.HELLO:
        return MOST_HELLO
    if limits is None:
        return MOST_SMALL
    if kind == Kind.LOG:
        lines = min(LINES_IN_A_FRAME, limits.log_lines)
        return LINE_HEAD.size * lines + min(limits.log_bytes, lines * limits.log_line_bytes)
    if kind == Kind.CALL:
        return CALL_HEAD.size + MOST_CALL_NAME + limits.call_bytes
    if kind == Kind.DONE:
        return MOST_SMALL + max(limits.result_bytes, MOST_ERROR_BYTES)
    if kind == Kind.TRACE:
        return MOST_TRACE_FRAME
    return MOST_SMALL
