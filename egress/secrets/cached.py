"""A value that is fetched when it is wanted: kept for a time, fetched anew ahead of its end, never twice at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from .backend import MAX_BYTES, UnavailableError
from .secret import Missing, Secret, Unready

_AHEAD = 0.8  # of its lifetime a value is used before the next is fetched beside it
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Fetched:
    """A value, how long it serves, and how much longer while no newer one can be had. Seconds."""

    value: bytes = field(repr=False)
    lifetime_s: float
    grace_s: float = 0.0


@dataclass(frozen=True, slots=True)
class _Kept:
    secret: Secret
    ahead: float
    fresh: float
    usable: float


class CachedSecret:
    """One secret behind an asynchronous `fetch`. `get` never waits; it starts a fetch where one is due.

    After a failed fetch the next one waits for a pause that doubles from 1 s to 30 s, however often it is asked.
    """

    def __init__(
        self,
        name: str,
        fetch: Callable[[], Awaitable[Fetched]],
        timeout_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._fetch = fetch
        self._timeout_s = timeout_s
        self._clock = clock
        self._kept: _Kept | None = None
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = None
        self._retry_at = 0.0
        self._pause_s = 0.0

    def get(self) -> Secret | Missing | Unready:
        """The value; or what to wait for, if none was fetched yet or the last is too old; or why there is none."""
        now = self._clock()
        kept = self._kept
        if kept is not None and now < kept.fresh:
            if now >= kept.ahead and now >= self._retry_at:
                self._start()
            return kept.secret
        if now >= self._retry_at or self._task is not None:
            return Unready(self._name, self._wait)
        if kept is not None and now < kept.usable:
            return kept.secret
        return Missing(self._name, f'secret "{self._name}" has no value: {self._failure}')

    @property
    def known(self) -> Secret | None:
        """The last value, whether it still serves or not."""
        return self._kept.secret if self._kept else None

    async def _wait(self) -> None:
        self._start()
        assert self._task is not None
        await asyncio.wait([self._task])

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        await asyncio.sleep(0)  # mitmproxy's loop starts tasks at once: not to be over before `_start` has noted it
        try:
            async with asyncio.timeout(self._timeout_s):
                fetched = await self._fetch()
            _check(fetched)
        except UnavailableError as error:
            self._failed(str(error))
        except TimeoutError:
            self._failed(f"it was not there within {self._timeout_s:g} s")
        except Exception as error:  # noqa: BLE001 - its text may quote what a server sent
            self._failed(f"fetching it failed ({type(error).__name__})")
        else:
            self._keep(fetched)
        finally:
            self._task = None

    def _keep(self, fetched: Fetched) -> None:
        now = self._clock()
        known = self._kept
        same = known is not None and known.secret.expose() == fetched.value
        secret = known.secret if same and known else Secret(self._name, fetched.value)
        fresh = now + fetched.lifetime_s
        self._kept = _Kept(secret, now + _AHEAD * fetched.lifetime_s, fresh, fresh + fetched.grace_s)
        self._failure, self._retry_at, self._pause_s = None, 0.0, 0.0

    def _failed(self, reason: str) -> None:
        self._failure = reason
        self._pause_s = min(max(2 * self._pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
        self._retry_at = self._clock() + self._pause_s


def _check(fetched: Fetched) -> None:
    if not fetched.value:
        raise UnavailableError("it is empty")
    if len(fetched.value) > MAX_BYTES:
        raise UnavailableError(f"it is longer than {MAX_BYTES} bytes")
