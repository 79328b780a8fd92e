"""What a process gives up before it becomes a child's program. Security boundary.

Each step is a system call of Linux; nothing here needs root. The order matters: a user namespace gives the rights to
set up its network namespace, and the last step takes them away again.
"""

import ctypes
import fcntl
import os
import signal
import socket
import struct
from pathlib import Path
from typing import Final

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 24, 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_CAPABILITY_HEADER: Final = struct.pack("<Ii", 0x20080522, 0)  # version 3, this process
_MOST_CAPABILITIES: Final = 64
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 1
_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_LANDLOCK_PATH_BENEATH: Final = 1
# Moving files between directories is refused by every ruleset that does not name it, so it is named and granted.
_MAKE_BLOCK, _REFER = 1 << 11, 1 << 13
_SCOPE_ABSTRACT_SOCKETS, _SCOPE_SIGNALS = 1, 2
# (rights to files, to the network, scopes), newest kernel first; the first that the kernel knows is taken.
_RULESETS: Final = (
    (_MAKE_BLOCK | _REFER, 0, _SCOPE_ABSTRACT_SOCKETS | _SCOPE_SIGNALS),
    (_MAKE_BLOCK | _REFER, 0, 0),
    (_MAKE_BLOCK, 0, 0),
)

_libc = ctypes.CDLL(None, use_errno=True)


def own_network() -> None:
    """An empty network namespace with its loopback up, in a user namespace where we stay who we are. Raises OSError.

    The user namespace also where root would not need one: a child with rights over the machine could go back.
    """
    user, group = os.geteuid(), os.getegid()
    _check(_libc.unshare(_CLONE_NEWUSER | _CLONE_NEWNET), "a network namespace of its own")
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"{user} {user} 1")
    _write("/proc/self/gid_map", f"{group} {group} 1")
    _loopback_up()


def no_new_privileges() -> None:
    """No program of the child gains rights by being run. Raises OSError."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def no_capabilities() -> None:
    """None now, and none for what is run later, be it as user 0 of this namespace. Raises OSError."""
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    for number in range(_MOST_CAPABILITIES):
        if _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            break  # past the last one that the kernel knows
    _check(_libc.capset(_CAPABILITY_HEADER, bytes(24)), "capset")


def no_neighbours() -> None:
    """A Landlock domain: processes outside it cannot be traced or, on newer kernels, signalled. Raises OSError.

    Who can trace a process of the same user can borrow its network. Files stay as they are.
    """
    for rights in _RULESETS:
        attributes = struct.pack("<QQQ", *rights)
        # A kernel that knows fewer fields takes the longer structure only if the rest of it is zero.
        rules = _libc.syscall(_LANDLOCK_CREATE_RULESET, attributes, len(attributes), 0)
        if rules >= 0:
            break
    rules = _check(rules, "Landlock")
    try:
        _allow_below_root(rules, rights[0])
        _check(_libc.syscall(_LANDLOCK_RESTRICT_SELF, rules, 0), "Landlock")
    finally:
        os.close(rules)


def die_with(parent: int) -> None:
    """Be killed when the thread that started us ends. Ends at once if `parent` is gone already."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def _allow_below_root(rules: int, rights: int) -> None:
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    try:
        beneath = struct.pack("<Qi", rights, root)
        _check(_libc.syscall(_LANDLOCK_ADD_RULE, rules, _LANDLOCK_PATH_BENEATH, beneath, 0), "Landlock")
    finally:
        os.close(root)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
        asked = struct.pack("16sH22x", b"lo", 0)
        flags = struct.unpack("16sH22x", fcntl.ioctl(anything, _SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(anything, _SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", flags | _IFF_UP))


def _write(path: str, text: str) -> None:
    Path(path).write_text(text, encoding="ascii")


def _prctl(option: int, value: int) -> None:
    _check(_libc.prctl(option, value, 0, 0, 0), "prctl")


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
