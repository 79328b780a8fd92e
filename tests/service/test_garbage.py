"""Cyclic garbage: what stays is not looked at again, and what does not stay is found all the same."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from runtime.service import garbage
from runtime.service.garbage import Garbage


class Knot:
    """Refers to itself, so that only a collection frees it."""

    def __init__(self) -> None:
        self.own = self


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_was_loaded_is_not_looked_at_again():
    kept = Knot()
    Garbage().set_aside()
    assert gc.get_freeze_count() > 0
    assert kept not in gc.get_objects()


def test_what_came_after_is_collected():
    Garbage().set_aside()
    gone = weakref.ref(Knot())
    gc.collect()
    assert gone() is None


def test_what_was_set_aside_and_replaced_is_found_the_next_time():
    kept = Knot()
    own = Garbage()
    own.set_aside()
    replaced = weakref.ref(kept)
    del kept
    own.set_aside()
    assert replaced() is None


async def test_much_that_is_loaded_in_a_row_is_set_aside_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(garbage, "_AFTER_S", 0.0)
    done = asyncio.Event()
    times = []
    own = Garbage()

    def set_aside() -> None:
        times.append(1)
        done.set()

    monkeypatch.setattr(own, "set_aside", set_aside)
    for _ in range(10):
        own.more_stays()
    async with asyncio.timeout(20):
        await done.wait()
    own.more_stays()
    await asyncio.sleep(0)
    assert times == [1]
