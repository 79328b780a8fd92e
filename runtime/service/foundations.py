"""What a gateway stands on: workers and store. They start beside each other, and beside the loading of the rest."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import SecretStr

from runtime.isolate.compiled import compiled_image
from runtime.isolate.shipped import TYPE_ERASER, wasm_path
from runtime.service.kept_images import keeping_images, older_images
from runtime.service.needed_images import needed_images
from runtime.service.pruning import pruning
from runtime.service.settings import GatewaySettings
from runtime.store.store import Store
from runtime.worker.pool import PoolSettings, WorkerPool
from sandboxes.image_file import load_images
from sandboxes.state import StateDirectory


class Foundations:
    """Begun at once, so that the zygote loads its images while this process loads its modules."""

    def __init__(self, settings: GatewaySettings, state: StateDirectory) -> None:
        self._settings = settings
        self._state = state
        self._opening = asyncio.create_task(self._opened())
        self._starting = asyncio.create_task(self._started())

    @contextlib.asynccontextmanager
    async def laid(self) -> AsyncIterator[tuple[WorkerPool, Store]]:
        """Both, once they are ready; they end with the block.

        Raises RuntimeError, OSError, TimeoutError, ValueError, StoreError.
        """
        try:
            pool, store = await asyncio.gather(self._starting, self._opening)
            async with pruning(store), keeping_images(store, self._state, pool.images):
                yield pool, store
        finally:
            await self._close()

    async def _close(self) -> None:
        for task in (self._starting, self._opening):
            task.cancel()
        for ended in await asyncio.gather(self._starting, self._opening, return_exceptions=True):
            if not isinstance(ended, BaseException):
                await ended.close()

    async def _started(self) -> WorkerPool:
        settings, state = self._settings, self._state
        declared = load_images([Path(place) for place in settings.config.images])
        images = await needed_images(settings.profiles.values(), state.images, declared)
        images += await older_images(self._opening, state, images)
        eraser = await compiled_image(TYPE_ERASER, wasm_path(TYPE_ERASER), state.images)
        pool = WorkerPool(images, eraser, PoolSettings(workers=settings.workers, slots=settings.slots))
        try:
            await pool.start()
        except BaseException:
            await pool.close()
            raise
        return pool

    async def _opened(self) -> Store:
        """The store that the configuration describes. SQLAlchemy takes a quarter of a second to load."""

        def configured() -> Store:
            from runtime.store.configured import configured_store  # noqa: PLC0415 - as said

            return configured_store(self._settings.config.store, self._state, SecretStr(self._settings.store_password))

        store = await asyncio.to_thread(configured)
        await store.open()
        return store
