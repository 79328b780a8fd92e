"""The pool of workers: room for a new owner is made by owners who have nothing to do."""

import asyncio
import socket

import pytest

from runtime.isolate.compiled import compiled_image
from runtime.isolate.shipped import wasm_path
from runtime.worker.link import Link
from runtime.worker.pool import PoolSettings, WorkerPool
from tests.cell import IMAGES

MOST = 4


@pytest.fixture
async def pool():
    javascript = await compiled_image("javascript", wasm_path("javascript"), IMAGES)
    eraser = await compiled_image("typescript", wasm_path("typescript"), IMAGES)
    settings = PoolSettings(workers=1, standby=1, most_standby=1, most_workers=MOST)
    pool = WorkerPool([javascript], eraser, settings)
    await pool.start()
    yield pool
    await pool.close()
    await asyncio.sleep(0)  # transports are closed in the loop's next turn


async def worker_of(pool: WorkerPool, owner: str) -> Link:
    """The owner's worker, once there is one."""
    available = asyncio.Event()
    pool.on_available = available.set
    async with asyncio.timeout(20):
        while (link := pool.acquire("tenant", owner)) is None:
            await available.wait()
            available.clear()
    return link


async def test_more_owners_than_workers_are_all_served(pool: WorkerPool) -> None:
    links = [await worker_of(pool, f"owner {number}") for number in range(3 * MOST)]
    assert len({id(link) for link in links}) == 3 * MOST


async def test_a_worker_with_something_to_do_is_kept(pool: WorkerPool, monkeypatch: pytest.MonkeyPatch) -> None:
    busy = await worker_of(pool, "busy")
    monkeypatch.setattr(Link, "load", property(lambda self: int(self is busy)))
    for number in range(2 * MOST):
        await worker_of(pool, f"owner {number}")
    assert await worker_of(pool, "busy") is busy


async def test_a_worker_that_is_just_being_made_when_the_pool_closes_leaves_no_socket(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: asyncio.Future[socket.socket] = asyncio.Future()

    async def never(_: object, ours: socket.socket) -> None:
        made.set_result(ours)
        await asyncio.Event().wait()

    async with asyncio.timeout(20):
        await worker_of(pool, "anybody")
        while pool._starting:
            await asyncio.sleep(0.01)
        monkeypatch.setattr(asyncio.get_running_loop(), "connect_accepted_socket", never)
        pool.acquire("dedicated", "")
        ours = await made
        await pool.close()
    assert ours.fileno() == -1
