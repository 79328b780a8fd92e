"""One call of an MCP tool on its way through the SDK, for what is above and below the SDK."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from runtime.execution.hostcall import HostCallError

type TokenOf = Callable[[], str]

ABANDON_S: Final = 5.0
"""An exchange goes on for so long after its call was given up: until the server has heard of that."""


@dataclass(kw_only=True, slots=True, eq=False)
class CallScope:
    """Its egress token (None for the service's own), what went wrong on the wire, and how many bytes the answer had.

    The SDK sends each message within the context of whoever sent it, so a variable set around a call is
    seen by the transport that carries the call.
    """

    token: TokenOf | None = None
    failure: HostCallError | None = None
    bytes_in: int = 0
    _until: float | None = None
    _waits: set[asyncio.Timeout] = field(default_factory=set)

    @contextmanager
    def waiting(self, limit: asyncio.Timeout) -> Iterator[None]:
        """While something of this call is waited for under `limit`, which ends soon once nobody wants the answer."""
        self._waits.add(limit)
        if self._until is not None:
            limit.reschedule(self._until)
        try:
            yield
        finally:
            self._waits.discard(limit)

    def abandon(self) -> None:
        """Nobody waits for the answer any more."""
        self._until = asyncio.get_running_loop().time() + ABANDON_S
        for limit in self._waits:
            limit.reschedule(self._until)


current_call: ContextVar[CallScope | None] = ContextVar("current_call", default=None)
