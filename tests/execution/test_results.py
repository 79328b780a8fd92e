"""Kept results and session stores: whose they are, how long, and how much."""

import asyncio
import re
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.execution.pointer import NoSuchPartError, part_at, range_of
from runtime.execution.results import MemoryResults
from runtime.execution.session_store import SessionStores, StoreBoundError
from runtime.store.changes import PutResult, PutValue
from runtime.store.errors import StoreUnavailableError
from runtime.store.records import ResultRow, ValueRow
from runtime.store.sql_store import SqlStore
from runtime.store.sqlite import SqliteDatabase
from runtime.store.store import Store
from sandboxes.kept import KeptResults, KeptStores
from sandboxes.limits import Limits

LIMITS = Limits()


@pytest.fixture(params=["in memory", "with a store"])
async def beside(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store | None]:
    """What is kept beside memory: nothing, or a store. The same has to hold."""
    if request.param == "in memory":
        yield None
        return
    async with opened(tmp_path) as store:
        yield store


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[SqlStore]:
    store = SqlStore(SqliteDatabase(directory / "store.sqlite"))
    await store.open()
    try:
        yield store
    finally:
        await store.close()


class Clock:
    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def test_a_handle_is_unguessable_and_its_owners(beside: Store | None):
    results = MemoryResults(store=beside)
    handle, _ = results.keep("ada", "[1]")
    assert re.fullmatch(r"res_[0-9a-f]{32}", handle)
    assert results.get("ada", handle).text == "[1]"
    assert results.get("bob", handle) is None
    assert results.get("ada", handle[:-1]) is None
    assert results.get("ada", "") is None


async def test_a_result_expires(beside: Store | None):
    clock = Clock()
    results = MemoryResults(KeptResults(expiry_s=10), store=beside, clock=clock)
    handle, expires_at = results.keep("ada", "1")
    assert expires_at == 1_010
    clock.now = 1_009.9
    assert results.get("ada", handle) is not None
    clock.now = 1_010
    assert results.get("ada", handle) is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 12))))
def test_the_bounds_hold_and_the_newest_stays(steps: list[tuple[str, int]]):
    results = MemoryResults(KeptResults(per_owner=3, owner_bytes=20, bytes=30))
    kept: list[tuple[str, str, int]] = []
    for tenant, size in steps:
        handle, _ = results.keep(tenant, "x" * size)
        kept.append((tenant, handle, size))
        assert results.get(tenant, handle) is not None
        left = [(owner, length) for owner, each, length in kept if results.get(owner, each) is not None]
        assert sum(length for _, length in left) <= 30
        for owner in "abc":
            own = [length for each, length in left if each == owner]
            assert len(own) <= 3
            assert sum(own) <= 20


async def test_one_that_is_too_large_is_not_kept(beside: Store | None):
    results = MemoryResults(KeptResults(owner_bytes=10), store=beside)
    first, _ = results.keep("ada", "1")
    assert results.keep("ada", "é" * 6)[0] == ""
    assert results.get("ada", first) is not None


@pytest.mark.parametrize(
    ("path", "found"),
    [("", {"a/b": [{"~": 1}]}), ("/a~1b", [{"~": 1}]), ("/a~1b/0/~0", 1)],
)
def test_a_pointer(path: str, found: object):
    assert part_at({"a/b": [{"~": 1}]}, path) == found


@pytest.mark.parametrize("path", ["a", "/b", "/a/1", "/a/-1", "/a/01", "/a/0/x", "/a/" + "1" * 30, "/" * 3_000])
def test_a_pointer_to_nowhere(path: str):
    with pytest.raises(NoSuchPartError):
        part_at({"a": [5]}, path)


def test_ranges():
    assert range_of([1, 2, 3], 1, 1) == ([2], 3)
    assert range_of("héllo", 1, 0) == ("éllo", 5)
    assert range_of({"a": 1, "b": 2}, 1, 5) == ({"b": 2}, 2)
    assert range_of([1], 10**15, 0) == ([], 1)
    assert range_of(7, 0, 0) == (7, 0)


async def test_a_store_is_one_sessions(beside: Store | None):
    stores = SessionStores(store=beside)
    stores.set("ada", "s", "k", "1", LIMITS)
    assert stores.get("ada", "s", "k") == "1"
    assert stores.get("ada", "t", "k") is None
    assert stores.get("bob", "s", "k") is None
    assert stores.keys("ada", "s") == ["k"]
    assert stores.delete("ada", "s", "k")
    assert not stores.delete("ada", "s", "k")


BOUNDS = {
    "store_key": [("", "1")],
    "store_value_bytes": [("k", "x" * LIMITS.store_value_bytes)],
    "store_keys": [(f"k{n}", "1") for n in range(LIMITS.store_keys + 1)],
    "store_bytes": [(f"k{n}", "é" * 30_000) for n in range(18)],
}


@pytest.mark.parametrize(("limit", "steps"), BOUNDS.items(), ids=BOUNDS)
async def test_the_bounds_of_a_store(beside: Store | None, limit: str, steps: list[tuple[str, str]]):
    stores = SessionStores(store=beside)
    for key, value in steps[:-1]:
        stores.set("ada", "s", key, value, LIMITS)
    with pytest.raises(StoreBoundError) as error:
        stores.set("ada", "s", *steps[-1], LIMITS)
    assert error.value.limit == limit
    assert stores.keys("ada", "s") == [key for key, _ in steps[:-1]]


async def test_the_bounds_of_all_stores(beside: Store | None):
    clock = Clock()
    stores = SessionStores(KeptStores(per_owner=2, owner_bytes=98, bytes=100, idle_s=60), store=beside, clock=clock)
    stores.set("ada", "one", "k", "1", LIMITS)
    stores.set("ada", "two", "k", "1", LIMITS)
    with pytest.raises(StoreBoundError, match="limit stores reached: at most 2"):
        stores.set("ada", "three", "k", "1", LIMITS)
    with pytest.raises(StoreBoundError, match="all_stores_bytes"):
        stores.set("bob", "one", "k", "x" * 97, LIMITS)
    with pytest.raises(StoreBoundError, match="limit owner_stores_bytes reached: at most 98"):
        stores.set("bob", "one", "k", "x" * 98, LIMITS)
    clock.now += 59
    assert stores.get("ada", "two", "k") == "1"
    clock.now += 1
    stores.set("ada", "three", "k", "1", LIMITS)
    assert stores.get("ada", "one", "k") is None
    assert stores.get("ada", "two", "k") == "1"


@given(st.lists(st.tuples(st.sampled_from(["set", "delete"]), st.sampled_from("abcd"), st.integers(0, 60))))
def test_what_a_store_holds_is_what_was_set(steps: list[tuple[str, str, int]]):
    stores = SessionStores(KeptStores(bytes=150))
    model: dict[str, str] = {}
    for what, key, length in steps:
        value = "x" * length
        after = {**model, key: value} if what == "set" else {k: v for k, v in model.items() if k != key}
        if sum(len(k) + len(v) for k, v in after.items()) > 150:
            with pytest.raises(StoreBoundError):
                stores.set("ada", "s", key, value, LIMITS)
            continue
        if what == "set":
            stores.set("ada", "s", key, value, LIMITS)
        else:
            stores.delete("ada", "s", key)
        model = after
        assert {k: stores.get("ada", "s", k) for k in stores.keys("ada", "s")} == model


async def test_the_number_of_all_stores(beside: Store | None):
    stores = SessionStores(KeptStores(count=1), store=beside)
    stores.set("ada", "one", "k", "1", LIMITS)
    with pytest.raises(StoreBoundError, match="limit all_stores reached: at most 1"):
        stores.set("bob", "one", "k", "1", LIMITS)


async def test_a_store_that_is_over_a_narrower_limit_may_shrink(beside: Store | None):
    stores = SessionStores(store=beside)
    narrow = Limits(store_bytes=10, store_keys=1)
    stores.set("ada", "s", "a", "x" * 20, LIMITS)
    stores.set("ada", "s", "b", "1", LIMITS)
    with pytest.raises(StoreBoundError, match="limit store_bytes reached: at most 10"):
        stores.set("ada", "s", "a", "x" * 21, narrow)
    stores.set("ada", "s", "a", "x" * 19, narrow)
    with pytest.raises(StoreBoundError, match="limit store_keys reached: at most 1"):
        stores.set("ada", "s", "c", "1", narrow)
    assert stores.delete("ada", "s", "b")
    assert stores.get("ada", "s", "a") == "x" * 19


async def test_nothing_is_kept_where_no_result_may_be(beside: Store | None):
    assert MemoryResults(KeptResults(per_owner=0), store=beside).keep("ada", "1")[0] == ""
    assert MemoryResults(KeptResults(bytes=0), store=beside).keep("ada", "1")[0] == ""


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["keep", "set", "delete"]), st.sampled_from("ab"), st.sampled_from("kl"), st.integers(1, 9)
    ),
    max_size=12,
)


def texts(results: MemoryResults, named: tuple[str, str]) -> str | None:
    kept = results.get(*named)
    return None if kept is None else kept.text


@settings(max_examples=20, deadline=None)
@given(STEPS)
def test_after_a_restart_there_is_what_there_was(steps: list[tuple[str, str, str, int]]):
    results_bounds, store_bounds = KeptResults(per_owner=2, owner_bytes=15, bytes=20), KeptStores(bytes=20)

    async def run(directory: Path) -> None:
        kept: list[tuple[str, str]] = []
        async with opened(directory) as store:
            results, stores = MemoryResults(results_bounds, store=store), SessionStores(store_bounds, store=store)
            await stores.ready()
            for what, tenant, key, size in steps:
                if what == "keep":
                    kept.append((tenant, results.keep(tenant, "x" * size)[0]))
                elif what == "delete":
                    stores.delete(tenant, "s", key)
                else:
                    try:
                        stores.set(tenant, "s", key, "x" * size, LIMITS)
                    except StoreBoundError:
                        continue
        async with opened(directory) as store:
            after = MemoryResults(results_bounds, store=store)
            stores_after = SessionStores(store_bounds, store=store)
            await after.ready()
            await stores_after.ready()
            assert [texts(after, each) for each in kept] == [texts(results, each) for each in kept]
            for tenant in "ab":
                keys = stores.keys(tenant, "s")
                assert stores_after.keys(tenant, "s") == keys
                assert [stores_after.get(tenant, "s", key) for key in keys] == [
                    stores.get(tenant, "s", key) for key in keys
                ]
            # They count as they did: the bounds are those of before.
            newest = [after.keep("a", "x" * 8)[0], after.keep("a", "x" * 7)[0]]
            assert sum(after.get(*each) is not None for each in kept if each[0] == "a") == 0
            assert all(after.get("a", handle) is not None for handle in newest)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(run(Path(directory)))


async def test_what_is_forgotten_is_forgotten_in_the_store(tmp_path: Path):
    clock = Clock()
    async with opened(tmp_path) as store:
        results = MemoryResults(KeptResults(per_owner=1), store=store)
        stores = SessionStores(KeptStores(idle_s=60), clock=clock, store=store)
        first, second = results.keep("ada", "1")[0], results.keep("ada", "2")[0]
        stores.set("ada", "s", "k", "1", LIMITS)
        clock.now += 60
        assert stores.get("ada", "s", "k") is None
        await store.flush()
        assert await store.result(first) is None
        assert (await store.result(second)).json == "2"
        assert await store.values("ada", "s") == []
        held = (await store.usage("ada")).bytes
        results.keep("ada", "3")
        await store.flush()
        assert (await store.usage("ada")).bytes == held


async def test_a_store_that_is_forgotten_makes_room_and_leaves_others_alone(beside: Store | None):
    stores = SessionStores(KeptStores(per_owner=2, owner_bytes=20), store=beside)
    for session in ("s", "t"):
        stores.set("ada", session, "k", "12345678", LIMITS)
    assert [each.key for each in stores.deletions("ada", "s")] == ["k"]
    stores.forget("ada", "s")
    stores.forget("ada", "nobody's")
    assert [stores.keys("ada", session) for session in ("s", "t")] == [[], ["k"]]
    assert stores.deletions("ada", "s") == []
    stores.set("ada", "u", "k", "12345678", LIMITS)
    with pytest.raises(StoreBoundError, match="owner_stores_bytes"):
        stores.set("ada", "t", "l", "123", LIMITS)
    if beside is not None:
        await beside.flush()
        assert sorted(await beside.value_sessions(9)) == [("ada", "t"), ("ada", "u")]


async def test_only_what_there_is_room_for_is_read_again(tmp_path: Path):
    async with opened(tmp_path) as store:
        rows = [ResultRow(handle=f"res_{n}", tenant="ada", json="1", expires_ns=n * 10**18) for n in (1, 3, 4, 5)]
        values = [ValueRow(tenant="ada", session=f"s{n}", key="k", value="1", updated_ns=n) for n in (1, 2, 3)]
        await store.write(*map(PutResult, rows), *map(PutValue, values))
        results = MemoryResults(KeptResults(per_owner=2), store=store)
        stores = SessionStores(KeptStores(per_owner=2), store=store)
        await results.ready()
        await stores.ready()
        assert [results.get("ada", row.handle) is not None for row in rows] == [False, False, True, True]
        assert results.get("bob", "res_5") is None
        assert [stores.get("ada", row.session, "k") for row in values] == [None, "1", "1"]


class ReadAtTheSecondTry(SqlStore):
    tries = 0

    async def value_sessions(self, limit: int) -> list[tuple[str, str]]:
        self.tries += 1
        if self.tries == 1:
            raise StoreUnavailableError("the disk is away")
        return await super().value_sessions(limit)


async def test_a_store_that_cannot_be_read_is_asked_again(tmp_path: Path):
    store = ReadAtTheSecondTry(SqliteDatabase(tmp_path / "store.sqlite"))
    await store.open()
    await store.write(PutValue(ValueRow(tenant="ada", session="s", key="k", value="1", updated_ns=1)))
    stores = SessionStores(store=store)
    with pytest.raises(StoreUnavailableError):
        await stores.ready()
    await stores.ready()
    await stores.ready()
    assert (stores.get("ada", "s", "k"), store.tries) == ("1", 2)
    await store.close()
    stores.set("ada", "s", "k", "2", LIMITS)  # no store any more: memory has it all the same
    assert stores.get("ada", "s", "k") == "2"
