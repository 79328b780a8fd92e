"""The second wall: what a worker gives up once it is loaded. Security boundary.

Each wall is tried by itself, and what the kernel refused is reported, not hidden. Order matters: namespaces
need privileges that no_new_privs and the filter take away.
"""

import ctypes
import os
import resource
import stat
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from runtime.worker.syscall_filter import install_filter

type Walls = dict[str, str]
"""Wall to "up", or to the reason it does not stand."""

UP: Final = "up"

_CLONE_NEWNET = 0x40000000
_CLONE_NEWUSER = 0x10000000
_PR_SET_DUMPABLE = 4
_PR_SET_NO_NEW_PRIVS = 38
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_RESTRICT_SELF = 446
_LANDLOCK_CREATE_RULESET_VERSION = 1
_MOST_DESCRIPTORS = 64
# What an instance of a compiled image is mapped from, again and again.
_KEPT_NAMES = (".cwasm", "wasm-memory-image (deleted)")

_libc = ctypes.CDLL(None, use_errno=True)


def lock_down(keep: Iterable[int]) -> Walls:
    """Give up everything a worker does not need. `keep` are descriptors beside the standard ones.

    Must run before the process has a second thread.
    """
    walls: Walls = {}
    steps: dict[str, Callable[[], None]] = {
        "environment": os.environ.clear,
        "network": _own_network,
        "descriptors": lambda: _close_descriptors({0, 1, 2, *keep}),
        "files": _landlock,
        "resources": _limit_resources,
        "untraceable": lambda: _prctl(_PR_SET_DUMPABLE, 0),
        "privileges": lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1),
        "system_calls": install_filter,
    }
    for name, step in steps.items():
        try:
            step()
            walls[name] = UP
        except OSError as error:
            walls[name] = f"refused: {error.strerror or error}"
    return walls


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), "prctl")


def _own_network() -> None:
    """An empty network namespace; without privileges that takes a user namespace too."""
    flags = _CLONE_NEWNET if os.geteuid() == 0 else _CLONE_NEWNET | _CLONE_NEWUSER
    _check(_libc.unshare(flags), "unshare")


def _close_descriptors(keep: set[int]) -> None:
    for entry in os.listdir("/proc/self/fd"):
        number = int(entry)
        if number in keep or _link(number).endswith(_KEPT_NAMES):
            continue
        try:
            os.close(number)
        except OSError:
            continue  # the descriptor that listed the directory


def _link(number: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{number}").readlink())
    except OSError:
        return ""


def _landlock() -> None:
    """Handle every right this kernel knows, grant none."""
    version = _check(_libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION), "landlock")
    files = (1 << 13) - 1
    for since, right in ((2, 1 << 13), (3, 1 << 14), (5, 1 << 15)):
        files |= right if version >= since else 0
    network = 3 if version >= 4 else 0  # noqa: PLR2004 - the ABI that brought bind and connect
    scopes = 3 if version >= 6 else 0  # noqa: PLR2004 - the ABI that brought abstract sockets and signals
    size = 8 if version < 4 else 16 if version < 6 else 24  # noqa: PLR2004
    attributes = ctypes.create_string_buffer(struct.pack("<QQQ", files, network, scopes)[:size], size)
    rules = _check(_libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, size, 0), "landlock_create_ruleset")
    try:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _check(_libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0), "landlock_restrict_self")
    finally:
        os.close(rules)


def _limit_resources() -> None:
    """Not the address space, which thousands of isolates reserve, and not the processes, which timers need."""
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_MEMLOCK: 0, resource.RLIMIT_NOFILE: _MOST_DESCRIPTORS}
    if not stat.S_ISREG(os.fstat(2).st_mode):
        limits[resource.RLIMIT_FSIZE] = 0
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))
