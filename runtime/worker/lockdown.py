"""The second wall: what a worker gives up once it is loaded. Security boundary.

Each part is tried by itself, and what the kernel refused is reported, not hidden. The order matters: namespaces need
privileges that are given up later, descriptors are found through files, and the filter takes away all of these calls.
"""

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import stat
import struct
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from runtime.worker.syscall_filter import install_filter
from sandboxes.walls import UP, Wall

type Walls = dict[str, str]
"""Wall to "up", or to the reason it does not stand."""

_CLONE_NEWIPC, _CLONE_NEWUSER, _CLONE_NEWNET = 0x08000000, 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS = 1, 4, 38
_LANDLOCK_CREATE_RULESET, _LANDLOCK_RESTRICT_SELF = 444, 446
_CAP_KILL, _CAP_SETGID, _CAP_SETUID = 1 << 5, 1 << 6, 1 << 7
_CAPABILITY_HEADER = struct.pack("<Ii", 0x20080522, 0)  # version 3, this process

# Rights to files, to the network and over others, newest kernel first. The first the kernel knows is taken.
_LANDLOCK_RIGHTS: Final = (
    (0x1FFFF, 0xF, 3), (0x1FFFF, 3, 3), (0xFFFF, 0xF, 3), (0xFFFF, 3, 3), (0xFFFF, 3, 0), (0x7FFF, 3, 0),
    (0x7FFF, 0, 0), (0x3FFF, 0, 0), (0x1FFF, 0, 0),
)  # fmt: skip

# No distribution and no service manager gives these numbers away; one of its own keeps workers apart.
_FIRST_PRIVATE_USER: Final = 0x70000000
_NOBODY: Final = 65534

# env_start and env_end, counted from the third field of /proc/PID/stat.
_ENVIRONMENT_AT: Final = slice(47, 49)
_MOST_DESCRIPTORS: Final = 64
_MOST_WRITTEN: Final = 1 << 20
"""Bytes a worker may add to a standard error that is a file."""

_ZYGOTE_OOM_SCORE: Final = b"500"
# What an instance of a compiled image is mapped from, again and again; also after the file was replaced.
_IMAGE_FILE, _IMAGE_MEMORY = ".cwasm", "/memfd:wasm-memory-image"

_libc = ctypes.CDLL(None, use_errno=True)


def lock_down(keep: Iterable[int]) -> Walls:
    """Give up everything a worker does not need. `keep` are descriptors beside standard error and the images.

    Raises RuntimeError if the process has a second thread: most of this binds only the calling one.
    """
    parent = os.getppid()
    user = _User()
    _refuse_threads()
    steps: dict[Wall, Callable[[], None]] = {
        "environment": _empty_environment,
        "descriptors": lambda: _close_descriptors({2, *keep}),
        "network": lambda: _own_network(user),
        "files": _landlock,
        "resources": _limit_resources,
        "privileges": lambda: _drop_privileges(user),
        "untraceable": lambda: _prctl(_PR_SET_DUMPABLE, 0),
        "system_calls": lambda: _finish(parent),
    }
    return _try(steps)


def lock_down_zygote() -> Walls:
    """What a zygote can do without: being traced, gaining privileges, and being spared when memory runs out.

    It keeps what it needs to fork and lock down workers. Its out-of-memory score is theirs too: the kernel ends
    workers, which are larger, before it, and it before gateway and egress proxy.
    """
    steps: dict[str, Callable[[], None]] = {
        "first_to_go": _go_first,
        "untraceable": lambda: _prctl(_PR_SET_DUMPABLE, 0),
        "no_new_privileges": lambda: _prctl(_PR_SET_NO_NEW_PRIVS, 1),
    }
    return _try(steps)


def _try[Name: str](steps: dict[Name, Callable[[], None]]) -> Walls:
    walls: Walls = {}
    for name, step in steps.items():
        try:
            step()
            walls[name] = UP
        except OSError as error:
            walls[name] = f"refused: {error.strerror or error}"
    return walls


def _refuse_threads() -> None:
    with contextlib.suppress(OSError):
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            raise RuntimeError("a process with several threads cannot be locked down")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), "prctl")


def _go_first() -> None:
    Path("/proc/self/oom_score_adj").write_bytes(_ZYGOTE_OOM_SCORE)


def _empty_environment() -> None:
    """Of Python, of the C library, and of the memory the process was started with, which /proc shows."""
    os.environ.clear()
    fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
    start, end = (int(field) for field in fields[_ENVIRONMENT_AT])
    if start:
        ctypes.memset(start, 0, end - start)


class _User:
    """Who the process is to the kernel. Inside a user namespace of its own it could no longer tell."""

    def __init__(self) -> None:
        self.is_root = os.getuid() == 0
        self._may_leave = self.is_root

    def leave_root(self) -> None:
        """Become a user without rights, if we were root and may. Tried once."""
        # Without CAP_KILL the gateway, which holds what we hold, could not end a worker of another user.
        needed = _CAP_SETUID | _CAP_SETGID | _CAP_KILL
        may_leave, self._may_leave = self._may_leave, False
        if not may_leave or _capabilities() & needed != needed:
            return
        with contextlib.suppress(OSError):
            os.setgroups([])
        for user in (_FIRST_PRIVATE_USER + os.getpid(), _NOBODY):
            with contextlib.suppress(OSError):  # not mapped in this container's user namespace
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
                break
        self.is_root = os.getuid() == 0 or 0 in os.getgroups()


def _own_network(user: _User) -> None:
    """Empty network and IPC namespaces; without privileges that takes a user namespace too."""
    flags = _CLONE_NEWNET | _CLONE_NEWIPC
    if _libc.unshare(flags) != 0:
        user.leave_root()
        _check(_libc.unshare(flags | _CLONE_NEWUSER), "unshare")


def _close_descriptors(keep: set[int]) -> None:
    nothing = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1):
        os.dup2(nothing, number, inheritable=False)
    os.chdir("/")
    for number in sorted(int(entry.name) for entry in Path("/proc/self/fd").iterdir()):
        if number > 1 and number not in keep and not _is_image(number):
            with contextlib.suppress(OSError):  # the descriptor that listed the directory is gone
                os.close(number)


def _is_image(number: int) -> bool:
    """Whether a descriptor is of a compiled image, and can only be read."""
    try:
        name = str(Path(f"/proc/self/fd/{number}").readlink()).removesuffix(" (deleted)")
        if name.endswith(_IMAGE_FILE):
            return fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY
        return name == _IMAGE_MEMORY and bool(fcntl.fcntl(number, fcntl.F_GET_SEALS) & fcntl.F_SEAL_WRITE)
    except OSError:
        return False


def _landlock() -> None:
    """Handle every right that the kernel and this file know, grant none."""
    rules = _ruleset()
    try:
        _prctl(_PR_SET_NO_NEW_PRIVS, 1)
        _check(_libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0), "landlock_restrict_self")
    finally:
        os.close(rules)


def _ruleset() -> int:
    for rights in _LANDLOCK_RIGHTS:
        # A kernel that knows fewer fields takes a longer structure only if the rest of it is zero.
        attributes = struct.pack("<QQQ", *rights)
        rules = _libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
        if rules >= 0:
            return int(rules)
    return _check(-1, "landlock_create_ruleset")


def _limit_resources() -> None:
    """Not the address space, which thousands of isolates reserve, and not the processes, which timers need."""
    error = os.fstat(2)
    written = error.st_size + _MOST_WRITTEN if stat.S_ISREG(error.st_mode) else 0
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_NOFILE: _MOST_DESCRIPTORS,
        resource.RLIMIT_FSIZE: written,
    }
    for limit, wanted in limits.items():
        _, most = resource.getrlimit(limit)
        value = wanted if most == resource.RLIM_INFINITY else min(wanted, most)
        resource.setrlimit(limit, (value, value))


def _drop_privileges(user: _User) -> None:
    """No capability here or in the own user namespace, no way to new ones, and nobody's user if we were root."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    user.leave_root()
    _check(_libc.capset(_CAPABILITY_HEADER, bytes(24)), "capset")
    if user.is_root:
        raise OSError(None, "still user 0: CAP_SETUID, CAP_SETGID and CAP_KILL are needed to become another")


def _capabilities() -> int:
    """The lower 32 effective ones; none if the kernel does not say."""
    data = ctypes.create_string_buffer(24)
    told = _libc.capget(_CAPABILITY_HEADER, data) == 0
    return int(struct.unpack_from("<I", data)[0]) if told else 0


def _finish(parent: int) -> None:
    """Changing the user has let go of the parent-death signal: take it again, before the filter comes down."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)
    install_filter()
