"""Wasmtime isolates: engine, images, limits and clocks. Knows nothing of gRPC, policy or processes.

What is named here loads no Wasmtime, so that the gateway stays small; `engine` and `images` do.
"""

from runtime.isolate.channel import Channel, Event, LogLine
from runtime.isolate.guest import CLOCK_MS, Guest, GuestLimits
from runtime.isolate.outcome import Ending, Outcome, Status, Usage
from runtime.isolate.replay import Replay, ReplayedCall, ReplayMode, payload_digest
from runtime.isolate.slots import RunSlots
from runtime.isolate.trace import Trace

__all__ = [
    "CLOCK_MS",
    "Channel",
    "Ending",
    "Event",
    "Guest",
    "GuestLimits",
    "LogLine",
    "Outcome",
    "Replay",
    "ReplayMode",
    "ReplayedCall",
    "RunSlots",
    "Status",
    "Trace",
    "Usage",
    "payload_digest",
]
