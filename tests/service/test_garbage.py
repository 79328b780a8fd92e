"""Cyclic garbage: what stays is not looked at again, and what does not stay is found when nothing runs."""

import asyncio
import gc
import weakref
from collections.abc import Callable, Iterator

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


def always() -> bool:
    return True


def never() -> bool:
    return False


def survive(own: Garbage) -> list[Knot]:
    """More objects than may stay in the old generation, all still there."""
    own.collect_all()
    kept = []
    while gc.get_count()[2] <= garbage._MOST_SURVIVORS:
        kept.append(Knot())
    return kept


def full_collections(work: Callable[[], object]) -> int:
    """How many there were while something was done."""
    seen = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            seen.append(info)

    gc.callbacks.append(note)
    try:
        work()
    finally:
        gc.callbacks.remove(note)
    return len(seen)


def test_what_was_loaded_is_not_looked_at_again():
    kept = Knot()
    Garbage(always).collect_all()
    assert gc.get_freeze_count() > 0
    assert kept not in gc.get_objects()


def test_what_came_after_is_collected():
    Garbage(always).collect_all()
    gone = weakref.ref(Knot())
    gc.collect()
    assert gone() is None


def test_what_was_set_aside_and_replaced_is_found_the_next_time():
    kept = Knot()
    own = Garbage(always)
    own.collect_all()
    replaced = weakref.ref(kept)
    del kept
    own.collect_all()
    assert replaced() is None


def test_what_survives_is_set_aside_without_a_full_collection():
    own = Garbage(never)
    own.collect_all()
    kept: list[Knot] = []

    def grow() -> None:
        kept.extend(Knot() for _ in range(300_000))
        own.look()

    assert full_collections(grow) == 0
    assert gc.get_freeze_count() > len(kept)


def test_everything_is_collected_once_nothing_runs_and_some_time_has_passed(monkeypatch: pytest.MonkeyPatch):
    busy = [True]
    own = Garbage(lambda: not busy[0])
    kept = survive(own)
    own.look()
    gone = weakref.ref(kept[0])
    del kept
    monkeypatch.setattr(garbage, "_AT_MOST_EVERY_S", 0.0)
    assert full_collections(own.look) == 0
    busy[0] = False
    own.look()
    assert gone() is None
    assert full_collections(own.look) == 0, "nothing has survived since"


def test_everything_is_collected_at_last_though_programs_run(monkeypatch: pytest.MonkeyPatch):
    own = Garbage(never)
    kept = survive(own)
    monkeypatch.setattr(garbage, "_AT_LEAST_EVERY_S", 0.0)
    gone = weakref.ref(kept[0])
    del kept
    own.look()
    assert gone() is None


async def test_it_is_looked_after_until_the_end_of_the_block(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(garbage, "_LOOK_S", 0.0)
    looked = asyncio.Event()
    own = Garbage(always)
    monkeypatch.setattr(own, "look", looked.set)
    async with own.looked_after():
        async with asyncio.timeout(20):
            await looked.wait()
    looked.clear()
    await asyncio.sleep(0)
    assert not looked.is_set()
