"""A fetched value over time: when it is fetched, how long it serves, and what happens while it cannot be had."""

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest

from egress.secrets import Missing, Secret, Unready
from egress.secrets.backend import UnavailableError
from egress.secrets.cached import CachedSecret, Fetched

LIFETIME_S = 100.0
GRACE_S = 50.0


class World:
    """A clock that moves when told, and a source that says what it is told, once it is let."""

    def __init__(self, timeout_s: float = 10.0) -> None:
        self.now = 1000.0
        self.fetches = 0
        self.say: Callable[[], Fetched] = lambda: Fetched(f"value-{self.fetches}".encode(), LIFETIME_S, GRACE_S)
        self.gate = asyncio.Event()
        self.gate.set()
        self.secret = CachedSecret("s", self._fetch, timeout_s, lambda: self.now)

    async def _fetch(self) -> Fetched:
        self.fetches += 1
        await self.gate.wait()
        return self.say()

    async def get(self) -> Secret | Missing:
        found = self.secret.get()
        if isinstance(found, Unready):
            await found.wait()
            found = self.secret.get()
        assert not isinstance(found, Unready)
        return found

    async def value(self) -> str:
        found = await self.get()
        assert isinstance(found, Secret), found
        return found.expose().decode()

    async def settle(self) -> None:
        """Let a fetch that was started run to its end."""
        for _ in range(10):
            await asyncio.sleep(0)

    def fail(self) -> None:
        def refuse() -> Fetched:
            raise UnavailableError("the store says no")

        self.say = refuse


async def test_the_first_request_waits_and_the_next_do_not() -> None:
    world = World()
    assert isinstance(world.secret.get(), Unready)
    assert await world.value() == "value-1"
    assert isinstance(world.secret.get(), Secret)
    assert world.fetches == 1


async def test_requests_at_once_make_one_fetch() -> None:
    world = World()
    world.gate.clear()
    waiting = [asyncio.create_task(world.value()) for _ in range(50)]
    await world.settle()
    world.gate.set()
    assert await asyncio.gather(*waiting) == ["value-1"] * 50
    assert world.fetches == 1


async def test_ahead_of_its_end_a_value_is_fetched_beside_requests() -> None:
    world = World()
    await world.value()
    world.now += 0.79 * LIFETIME_S
    await world.value()
    await world.settle()
    assert world.fetches == 1
    world.now += 0.02 * LIFETIME_S
    assert await world.value() == "value-1"
    await world.settle()
    assert world.fetches == 2
    assert await world.value() == "value-2"


async def test_a_value_that_is_too_old_is_not_used_while_the_next_comes() -> None:
    world = World()
    await world.value()
    world.now += LIFETIME_S
    assert isinstance(world.secret.get(), Unready)
    assert await world.value() == "value-2"


async def test_while_the_store_fails_the_last_value_serves_for_its_grace() -> None:
    world = World()
    await world.value()
    world.fail()
    world.now += LIFETIME_S + 1
    assert await world.value() == "value-1"
    world.now += GRACE_S - 3
    assert await world.value() == "value-1"
    world.now += 2
    found = await world.get()
    assert isinstance(found, Missing)
    assert "the store says no" in found.reason


async def test_a_store_that_works_again_is_used_again() -> None:
    world = World()
    good = world.say
    world.fail()
    assert isinstance(await world.get(), Missing)
    world.say = good
    assert isinstance(world.secret.get(), Missing)
    world.now += 1.1
    assert await world.value() == "value-2"


async def test_a_failing_store_is_asked_ever_more_rarely() -> None:
    world = World()
    world.fail()
    times: list[float] = []
    for _ in range(1000):
        before = world.fetches
        await world.get()
        if world.fetches > before:
            times.append(world.now)
        world.now += 0.1
    pauses = [round(b - a) for a, b in pairwise(times)]
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


async def test_a_fetch_that_never_ends_is_given_up() -> None:
    world = World(timeout_s=0.01)
    world.gate.clear()
    found = await world.get()
    assert isinstance(found, Missing)
    assert "within 0.01 s" in found.reason


@pytest.mark.parametrize(
    "error", [RuntimeError("quotes hunter2-hunter2"), ValueError("hunter2-hunter2"), KeyError("hunter2-hunter2")]
)
async def test_an_unexpected_error_is_not_quoted(error: Exception) -> None:
    world = World()

    def refuse() -> Fetched:
        raise error

    world.say = refuse
    found = await world.get()
    assert isinstance(found, Missing)
    assert "hunter2" not in found.reason
    assert type(error).__name__ in found.reason


@pytest.mark.parametrize("value", [b"", b"x" * 70_000])
async def test_values_that_are_none(value: bytes) -> None:
    world = World()
    world.say = lambda: Fetched(value, LIFETIME_S)
    assert isinstance(await world.get(), Missing)


async def test_a_value_that_did_not_change_stays_the_same_secret() -> None:
    world = World()
    world.say = lambda: Fetched(b"always the same", LIFETIME_S)
    first = await world.get()
    world.now += LIFETIME_S
    assert await world.get() is first
    assert world.fetches == 2


async def test_a_request_that_goes_away_does_not_end_the_fetch_of_others() -> None:
    world = World()
    world.gate.clear()
    leaving, staying = (asyncio.create_task(world.value()) for _ in range(2))
    await world.settle()
    leaving.cancel()
    await world.settle()
    world.gate.set()
    assert await staying == "value-1"
    assert world.fetches == 1
