"""The seccomp filter of a worker: what it uses is allowed, what only an attacker uses ends it, the rest is refused.

Security boundary. A classic BPF program, small enough to read; x86-64 only.
"""

import ctypes
import errno
import os
import platform
from typing import Final, NamedTuple

_ALLOWED: Final = {
    "read": 0, "write": 1, "close": 3, "poll": 7, "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14,
    "rt_sigreturn": 15, "sched_yield": 24, "mremap": 25, "madvise": 28, "nanosleep": 35, "getpid": 39, "sendto": 44,
    "recvfrom": 45, "exit": 60, "sigaltstack": 131, "gettid": 186, "futex": 202, "timer_create": 222,
    "timer_settime": 223, "timer_delete": 226, "clock_gettime": 228, "clock_nanosleep": 230, "exit_group": 231,
    "tgkill": 234, "set_robust_list": 273, "rt_sigtimedwait": 128, "getrandom": 318, "rseq": 334,
}  # fmt: skip
_ENDS_THE_PROCESS: Final = {
    "execve": 59, "execveat": 322, "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311,
    "socket": 41, "connect": 42, "bind": 49, "fork": 57, "vfork": 58, "kill": 62, "mount": 165, "init_module": 175,
    "bpf": 321, "unshare": 272, "setns": 308, "pidfd_open": 434, "io_uring_setup": 425, "perf_event_open": 298,
    "userfaultfd": 323, "keyctl": 250,
}  # fmt: skip
_MMAP, _MPROTECT, _CLONE, _CLONE3 = 9, 10, 56, 435
_PROT_EXEC, _CLONE_THREAD = 4, 0x10000

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_FIRST_ARGUMENT, _AT_THIRD_ARGUMENT = 0, 4, 16, 32
_AUDIT_X86_64 = 0xC000003E
_X32_BIT = 0x40000000
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

_SECCOMP, _SET_MODE_FILTER, _TSYNC = 317, 1, 1


class Instruction(NamedTuple):
    """One BPF instruction; jumps are relative to the next."""

    code: int
    if_true: int
    if_false: int
    value: int


def program() -> list[Instruction]:
    """The filter: first the architecture, then calls whose arguments matter, then the lists."""
    lines = [
        Instruction(_LOAD, 0, 0, _AT_ARCHITECTURE),
        Instruction(_EQUAL, 1, 0, _AUDIT_X86_64),
        Instruction(_RETURN, 0, 0, _KILL_PROCESS),
        Instruction(_LOAD, 0, 0, _AT_NUMBER),
        Instruction(_AT_LEAST, 0, 1, _X32_BIT),
        Instruction(_RETURN, 0, 0, _KILL_PROCESS),
    ]
    for number in (_MMAP, _MPROTECT):
        lines += _when(number, _AT_THIRD_ARGUMENT, _PROT_EXEC, then=_ERRNO | errno.EPERM, otherwise=_ALLOW)
    lines += _when(_CLONE, _AT_FIRST_ARGUMENT, _CLONE_THREAD, then=_ALLOW, otherwise=_KILL_PROCESS)
    # The C library falls back to clone, whose flags this filter can see.
    lines += [Instruction(_EQUAL, 0, 1, _CLONE3), Instruction(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for numbers, action in ((_ALLOWED, _ALLOW), (_ENDS_THE_PROCESS, _KILL_PROCESS)):
        for number in numbers.values():
            lines += [Instruction(_EQUAL, 0, 1, number), Instruction(_RETURN, 0, 0, action)]
    return [*lines, Instruction(_RETURN, 0, 0, _ERRNO | errno.EPERM)]


def _when(number: int, argument: int, bits: int, *, then: int, otherwise: int) -> list[Instruction]:
    return [
        Instruction(_EQUAL, 0, 4, number),
        Instruction(_LOAD, 0, 0, argument),
        Instruction(_ANY_BIT, 0, 1, bits),
        Instruction(_RETURN, 0, 0, then),
        Instruction(_RETURN, 0, 0, otherwise),
    ]


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Filter)))


def install_filter() -> None:
    """Put it on every thread of this process, for good. Needs no_new_privs. Raises OSError."""
    if platform.machine() != "x86_64":
        raise OSError(errno.ENOSYS, f"there is no filter for {platform.machine()}")
    instructions = program()
    array = (_Filter * len(instructions))(*[_Filter(*line) for line in instructions])
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_SECCOMP, _SET_MODE_FILTER, _TSYNC, ctypes.byref(_Program(len(instructions), array))) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: {os.strerror(number)}")
