"""Wasmtime isolates: engine, images, limits and clocks. Knows nothing of gRPC, policy or processes."""

from runtime.isolate.engine import Ticker, make_engine
from runtime.isolate.guest import Channel, Event, Guest, GuestLimits, LogLine
from runtime.isolate.images import Image, compile_image, load_image
from runtime.isolate.outcome import Outcome, Status, Usage
from runtime.isolate.slots import RunSlots

__all__ = [
    "Channel",
    "Event",
    "Guest",
    "GuestLimits",
    "Image",
    "LogLine",
    "Outcome",
    "RunSlots",
    "Status",
    "Ticker",
    "Usage",
    "compile_image",
    "load_image",
    "make_engine",
]
