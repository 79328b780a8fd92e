"""Which images a gateway loads: the two guests, and of the declared images those that profiles name.

For profiles that count fuel an image is compiled once more.
"""

import json
from collections.abc import Collection, Iterator
from pathlib import Path

from runtime.isolate.compiled import CompiledImage, compiled_image
from runtime.isolate.shipped import NAMES, wasm_path
from sandboxes.image_file import ImageStore
from sandboxes.profile import Profile

FUEL_SUFFIX = "+fuel"
"""Compiled differently, because counting costs every program time."""


async def needed_images(
    profiles: Collection[Profile], cache: Path, declared: ImageStore | None = None
) -> list[CompiledImage]:
    """Compiled, by the names that programs ask for.

    Raises RuntimeError or FileNotFoundError that says what to do about an image that is not there.
    """
    store = declared or ImageStore()
    if problems := [problem for profile in profiles for problem in image_problems(profile, store)]:
        raise RuntimeError("\n".join(problems))
    return [
        await compiled_image(f"{name}{FUEL_SUFFIX}" if fuel else name, wasm_path(name), cache, fuel=fuel)
        for name, fuel in wanted_images(profiles)
    ]


def wanted_images(profiles: Collection[Profile]) -> list[tuple[str, bool]]:
    """Names, and whether fuel is counted; each once."""
    fuel = any(profile.limits.fuel for profile in profiles)
    guests = [(name, counts) for name in NAMES for counts in ((False, True) if fuel else (False,))]
    named = [(profile.image, bool(profile.limits.fuel)) for profile in profiles]
    return list(dict.fromkeys([*guests, *named]))


def image_problems(profile: Profile, declared: ImageStore) -> Iterator[str]:
    """Why the profile's programs could not run on its image."""
    if profile.image in NAMES:
        return
    where = f'profile "{profile.name}"'
    try:
        image = declared.get(profile.image)
    except LookupError as error:
        yield f"{where}: {error.args[0]}"
        return
    build = f"run: {declared.build_command(image.name)}"
    try:
        record = json.loads(wasm_path(image.name).with_suffix(".json").read_bytes())
        digest, memory = str(record["declaration"]), int(record["memory_bytes"])
    except (OSError, ValueError, KeyError, TypeError):
        yield f'{where}: the image "{image.name}" is not built; {build}'
        return
    if digest != image.digest():
        yield f'{where}: the image "{image.name}" was built before {declared.files[image.name]} changed; {build}'
    if memory >= profile.limits.memory_bytes:
        least = f"{memory / (1 << 20):.1f} MiB"
        yield f'{where}: limits.memory_bytes must be more than the {least} that the image "{image.name}" begins with'
