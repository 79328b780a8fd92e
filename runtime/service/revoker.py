"""Tells the supervisor which executions are over, so that the egress proxy refuses their tokens at once."""

import asyncio
from collections.abc import Callable, Mapping


class Revoker:
    """Gathers what ends within one turn of the event loop into one line."""

    def __init__(self, say: Callable[[Mapping[str, Mapping[str, int]]], None]) -> None:
        self._say = say
        self._waiting: dict[str, int] = {}

    def revoke(self, execution: str, expires: int) -> None:
        """`expires`: of its last token, in Unix seconds."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._tell)
        self._waiting[execution] = expires

    def _tell(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self._say({"revoke": waiting})
