"""Guest images that records in the store refer to, kept by digest while they do: what began on one goes on on it."""

import asyncio
import contextlib
import logging
import os
import re
import shutil
from collections.abc import AsyncIterator, Awaitable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from runtime.isolate.compiled import CompiledImage, compiled_image
from runtime.isolate.shipped import wasm_path
from runtime.service.beside import beside
from runtime.service.needed_images import FUEL_SUFFIX
from runtime.store.errors import StoreError
from runtime.store.store import Store
from sandboxes.state import StateDirectory

log = logging.getLogger(__name__)

MOST_OLDER: Final = 4
"""Older images that are loaded beside those in use: each costs every worker memory."""

_EVERY_S = 600.0
_FILE = re.compile(r"(?P<name>[a-z][a-z0-9-]{0,62})-(?P<digest>[0-9a-f]{64})\.wasm")


async def older_images(
    opening: Awaitable[Store], state: StateDirectory, current: Sequence[CompiledImage]
) -> list[CompiledImage]:
    """Those that records refer to and that are no longer built, compiled, the newest first.

    Their names are those of images with an @ and the beginning of their digest. The store is waited for only if there
    are any.
    """
    present = {image.digest for image in current}
    older = [file for file in await asyncio.to_thread(_files, state.kept_images) if _digest(file) not in present]
    if not older:
        return []
    wanted = await (await opening).image_digests_in_use()
    used = [file for file in older if f"sha256:{_digest(file)}" in wanted]
    if len(used) > MOST_OLDER:
        log.error("%d older images are referred to; only the %d newest are loaded", len(used), MOST_OLDER)
    return [image for file in used[:MOST_OLDER] for image in await _compiled(file, state.images, current)]


@contextlib.asynccontextmanager
async def keeping_images(store: Store, state: StateDirectory, images: Sequence[CompiledImage]) -> AsyncIterator[None]:
    """Inside, a task of its own keeps the present images, and removes those that nothing refers to any more."""
    async with beside(_keep(store, state, images)):
        yield


async def _keep(store: Store, state: StateDirectory, images: Sequence[CompiledImage]) -> None:
    while True:
        try:
            await asyncio.to_thread(keep_images, state.kept_images, images)
            used = await store.image_digests_in_use()
            await asyncio.to_thread(forget_images, state.kept_images, images, used)
        except (StoreError, OSError) as error:
            log.warning("guest images are not looked after now: %s", error)
        await asyncio.sleep(_EVERY_S)


async def _compiled(file: Path, cache: Path, current: Sequence[CompiledImage]) -> list[CompiledImage]:
    name, digest = _name(file), _digest(file)
    counts = any(image.fuel for image in current)
    made = []
    for fuel in (False, True) if counts else (False,):
        named = f"{name}{FUEL_SUFFIX}" if fuel else name
        image = await compiled_image(named, file, cache, fuel=fuel)
        made.append(replace(image, name=f"{named}@{digest[:12]}"))
    return made


def keep_images(kept: Path, current: Sequence[CompiledImage]) -> None:
    """Copies of the Wasm that programs begin on now, so that it is there when it is built anew. Raises OSError."""
    kept.mkdir(mode=0o700, exist_ok=True)
    for image in current:
        if image.fuel or "@" in image.name:
            continue
        file = kept / f"{image.name}-{image.digest}.wasm"
        if file.exists():
            os.utime(file)
            continue
        draft = file.with_suffix(".draft")
        shutil.copyfile(wasm_path(image.name), draft)
        draft.rename(file)


def forget_images(kept: Path, current: Sequence[CompiledImage], used: Collection[str]) -> None:
    """Remove those that no record refers to any more. Raises OSError."""
    present = {image.digest for image in current}
    for file in _files(kept):
        if _digest(file) not in present and f"sha256:{_digest(file)}" not in used:
            file.unlink(missing_ok=True)


def _files(kept: Path) -> list[Path]:
    """The newest first."""
    found = [file for file in kept.glob("*.wasm") if _FILE.fullmatch(file.name)]
    return sorted(found, key=lambda file: file.stat().st_mtime_ns, reverse=True)


def _name(file: Path) -> str:
    found = _FILE.fullmatch(file.name)
    assert found is not None
    return found["name"]


def _digest(file: Path) -> str:
    found = _FILE.fullmatch(file.name)
    assert found is not None
    return found["digest"]
