"""Wasmtime isolates: engine, images, limits and clocks. Knows nothing of gRPC, policy or processes.

What is named here loads no Wasmtime, so that the gateway stays small; `engine` and `images` do.
"""

from runtime.isolate.guest import Channel, Event, Guest, GuestLimits, LogLine
from runtime.isolate.outcome import Ending, Outcome, Status, Usage
from runtime.isolate.slots import RunSlots

__all__ = [
    "Channel",
    "Ending",
    "Event",
    "Guest",
    "GuestLimits",
    "LogLine",
    "Outcome",
    "RunSlots",
    "Status",
    "Usage",
]
