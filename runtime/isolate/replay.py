"""The record a program is replayed from: the calls it made, the answers it got, the order in which it heard them."""

import hashlib
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple


class ReplayMode(IntEnum):
    """What happens at the end of the record: go on, live; or end there, and tell what differed."""

    RESUME = 0
    VERIFY = 1


class ReplayedCall(NamedTuple):
    """One recorded host call. `digest` is `payload_digest` of its arguments; `payload` is the answer, if `answered`.

    An answer that comes with the record is not sent as a result too: if the trace does not deliver it, it is delivered
    as soon as the replay is over. One that comes `later` is sent as any result is, and the replay waits for it; what
    does not fit in the program's window is sent so, in the order in which the trace delivers it.
    """

    call_id: int
    kind: int
    name: str
    digest: bytes
    answered: bool = False
    ok: bool = False
    payload: str = ""
    later: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Replay:
    """A record: `calls` in the order they were made, `trace` as `runtime.isolate.trace` has it.

    `until` stops the program before the call of that number (from 1; 0: none). `cpu_ns`, `active_ns` and `wall_ns` are
    what had been used; the limits of what follows count from there, and the replay itself counts for nothing. That many
    `log_lines` are recorded: when resuming, they are not passed on again.
    """

    mode: ReplayMode
    calls: tuple[ReplayedCall, ...] = ()
    trace: bytes = b""
    until: int = 0
    cpu_ns: int = 0
    active_ns: int = 0
    wall_ns: int = 0
    log_lines: int = 0


def payload_digest(payload: str) -> bytes:
    """SHA-256 of a call's arguments as the program wrote them."""
    return hashlib.sha256(payload.encode(errors="replace")).digest()
