"""Ends what a token let in when the token expires, also while nothing moves."""

import asyncio
import time
from collections.abc import Callable


class ExpiryTimers:
    """One timer for each second in which some token in use expires; tokens expire on whole seconds."""

    def __init__(self, expired: Callable[[float], None]) -> None:
        """`expired` is called with the time, in Unix seconds, when tokens have just expired."""
        self._expired = expired
        self._armed: set[int] = set()

    def __len__(self) -> int:
        return len(self._armed)

    def watch(self, expires: int) -> None:
        """See to it that `expired` is called at `expires`."""
        if expires in self._armed:
            return
        self._armed.add(expires)
        asyncio.get_running_loop().call_later(max(0.0, expires - time.time()), self._fire, expires)

    def _fire(self, expires: int) -> None:
        self._armed.discard(expires)
        now = time.time()
        if now < expires:  # the wall clock was set back, or the timer ran early
            self.watch(expires)
        else:
            self._expired(now)
