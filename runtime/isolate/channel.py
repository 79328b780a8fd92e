"""What a guest says to the outside, and what it hears from there."""

from typing import NamedTuple, Protocol

from runtime.isolate.trace import Trace


class LogLine(NamedTuple):
    """One numbered line a program wrote: the level of the guest interface, UTC nanoseconds, text."""

    number: int
    level: int
    time_ns: int
    text: str


class Event(NamedTuple):
    """The answer to a host call: `payload` is JSON, a value if `ok`, otherwise an error object."""

    call_id: int
    ok: bool
    payload: str
    refused: bool = False
    """Made here, in place of a call that was not passed on."""
    recorded: bool = False
    """From the record of a replay: it came with the program."""


class Channel(Protocol):
    """Where a guest's host calls and log lines go. Called on the guest's thread."""

    def submit(self, call_id: int, kind: int, name: str, payload: str) -> None:
        """Pass a host call on; its answer comes back by `Guest.deliver`."""

    def log(self, lines: list[LogLine]) -> None:
        """Pass log lines on, in order."""

    def taken(self, size: int) -> None:
        """Tell that the program has taken `size` characters of answers in all: there is room for more."""

    def trace(self, trace: Trace) -> None:
        """Pass on what the program has heard, ahead of what it does next."""

    def live(self) -> None:
        """Tell that a replay is over and the program goes on."""

    def blocked(self) -> None:
        """Tell that the program waits and has nothing to hear."""
