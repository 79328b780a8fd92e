"""System call numbers as the kernel's own headers give them; the compiler that builds the images carries those."""

import platform
import re
from functools import cache
from pathlib import Path

import ziglang

_HEADERS = {"x86_64": "x86-linux-any", "aarch64": "aarch64-linux-any"}


@cache
def kernel_calls(machine: str = platform.machine()) -> dict[str, int]:
    """Name to number."""
    path = Path(ziglang.__file__).parent / "lib/libc/include" / _HEADERS[machine] / "asm/unistd_64.h"
    found = re.findall(r"^#define __NR_(\w+) (\d+)$", path.read_text(), re.MULTILINE)
    return {name: int(number) for name, number in found}
