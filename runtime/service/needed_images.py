"""Which images a gateway loads: the two guests, and for profiles that count fuel each of theirs once more."""

from collections.abc import Iterable
from pathlib import Path

from runtime.isolate.compiled import CompiledImage, compiled_image
from runtime.isolate.shipped import NAMES, wasm_path
from sandboxes.profile import Profile

FUEL_SUFFIX = "+fuel"
"""Compiled differently, because counting costs every program time."""


async def needed_images(profiles: Iterable[Profile], cache: Path) -> list[CompiledImage]:
    """Compiled, by the names that programs ask for. Raises FileNotFoundError for an image that is not built."""
    fuel = any(profile.limits.fuel for profile in profiles)
    wanted = [(name, counts) for name in NAMES for counts in ((False, True) if fuel else (False,))]
    return [
        await compiled_image(f"{name}{FUEL_SUFFIX}" if counts else name, wasm_path(name), cache, fuel=counts)
        for name, counts in wanted
    ]
