"""What a session's event streams said, kept so that a client that lost its connection hears the rest.

One log for one session: the SDK names a stream by the request's id, which the client chose, so that a log of several
sessions would tell one client what another was told.
"""

import asyncio
import itertools
from collections import deque
from dataclasses import dataclass
from typing import Final

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import JSONRPCError, JSONRPCMessage, JSONRPCResponse

MAX_EVENTS: Final = 2_000
MAX_SESSION_BYTES: Final = 8 << 20
MAX_BYTES: Final = 128 << 20
_OVERHEAD: Final = 200


@dataclass(slots=True)
class EventRoom:
    """Bytes that all logs may hold together."""

    left: int = MAX_BYTES


@dataclass(frozen=True, slots=True)
class _Event:
    number: int
    stream: str
    message: JSONRPCMessage | None
    size: int

    @property
    def last(self) -> bool:
        """Whether it ends its stream."""
        return isinstance(self.message, JSONRPCResponse | JSONRPCError)


class EventLog(EventStore):
    """Bounded in number and in bytes; the oldest events go first, and the newest is always kept."""

    def __init__(self, room: EventRoom | None = None) -> None:
        self._room = room or EventRoom()
        self._events: deque[_Event] = deque()
        self._numbers = itertools.count(1)
        self._bytes = 0
        self._more = asyncio.Event()
        self._closed = False

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep one event; its id. None as a message marks where a stream begins."""
        size = _OVERHEAD + (len(message.model_dump_json()) if message is not None else 0)
        event = _Event(next(self._numbers), stream_id, message, size)
        if not self._closed:
            self._keep(event)
        more, self._more = self._more, asyncio.Event()
        more.set()
        return str(event.number)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what came after that event on its stream, and what comes, until the stream's response.

        The SDK would go over from the stored events to the live ones with a gap between, in which an answer gets lost.
        So the stream is followed here to its end, and None is the answer: there is nothing left to follow.
        """
        heard = next((event for event in self._events if str(event.number) == last_event_id), None)
        if heard is None or heard.last:
            return None
        stream, told = heard.stream, heard.number
        while not self._closed:
            more = self._more
            for event in [event for event in self._events if event.stream == stream and event.number > told]:
                told = event.number
                if event.message is not None:
                    await send_callback(EventMessage(event.message, str(event.number)))
                if event.last:
                    return None
            await more.wait()
        return None

    def close(self) -> None:
        """Forget everything, and end who follows."""
        self._closed = True
        while self._events:
            self._drop()
        self._more.set()

    def _keep(self, event: _Event) -> None:
        self._events.append(event)
        self._bytes += event.size
        self._room.left -= event.size
        while len(self._events) > 1 and self._too_much():
            self._drop()

    def _too_much(self) -> bool:
        return len(self._events) > MAX_EVENTS or self._bytes > MAX_SESSION_BYTES or self._room.left < 0

    def _drop(self) -> None:
        event = self._events.popleft()
        self._bytes -= event.size
        self._room.left += event.size
