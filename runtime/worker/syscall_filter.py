"""The seccomp filter of a worker: what it uses is allowed, what a library may try is refused, all else ends it.

Security boundary. A classic BPF program small enough to read, made of names; tests/runtime/test_syscall_filter.py
runs it in an interpreter for both machines.
"""

import ctypes
import errno
import os
import platform
from dataclasses import dataclass
from typing import Final, NamedTuple

from runtime.worker import syscall_table

# What threads, timers, memory and Wasmtime's traps are made of. Whatever a worker did without in a trial, one call
# taken away at a time, is not here. restart_syscall is how the kernel resumes a wait after SIGSTOP and SIGCONT.
ALLOWED: Final = (
    "brk", "clock_gettime", "clock_nanosleep", "exit", "exit_group", "futex", "getpid", "getrandom", "gettid",
    "madvise", "mremap", "munmap", "restart_syscall", "rseq", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn",
    "rt_sigtimedwait", "sched_yield", "set_robust_list", "sigaltstack", "timer_create", "timer_settime", "write",
    "writev",
)  # fmt: skip

# What the C library, Python or Rust try on a bad day, and do without when it is refused.
REFUSED: Final = (
    "access", "clock_getres", "close", "dup", "faccessat", "faccessat2", "fcntl", "fstat", "getcpu", "getcwd",
    "getegid", "geteuid", "getgid", "getppid", "getrlimit", "getrusage", "gettimeofday", "getuid", "ioctl", "lseek",
    "lstat", "membarrier", "nanosleep", "newfstatat", "open", "openat", "poll", "ppoll", "prctl", "prlimit64", "read",
    "readlink", "readlinkat", "sched_getaffinity", "sched_setaffinity", "shutdown", "stat", "statx", "sysinfo", "time",
    "timer_delete", "uname",
)  # fmt: skip

_PROT_EXEC: Final = 4
_CLONE_THREAD: Final = 0x10000
# What pthread_create asks for: a thread that shares everything. No namespace, no process, no tracing.
_THREAD_FLAGS: Final = 0x7D0F00
_MSG_NOSIGNAL: Final = 0x4000
_MSG_DONTWAIT: Final = 0x40
_FLAGS: Final = {"sendto": _MSG_NOSIGNAL, "recvfrom": _MSG_NOSIGNAL | _MSG_DONTWAIT}

_OWN_PROCESS: Final = 0xFFFFFFFE
"""Stands for the process id until it is known."""

_LOAD, _EQUAL, _ABOVE, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x25, 0x35, 0x45, 0x06
_AT_NUMBER, _AT_ARCHITECTURE, _AT_ARGUMENTS = 0, 4, 16
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_X32_BIT: Final = 0x40000000
_SET_MODE_FILTER, _TSYNC = 1, 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What differs between machines: the audit number of the architecture, the calls, and x86's second ABI."""

    audit: int
    calls: dict[str, int]
    has_x32: bool = False


MACHINES: Final = {
    "x86_64": Machine(audit=0xC000003E, calls=syscall_table.X86_64, has_x32=True),
    "aarch64": Machine(audit=0xC00000B7, calls=syscall_table.AARCH64),
}


class Instruction(NamedTuple):
    """One BPF instruction; jumps are relative to the next."""

    code: int
    if_true: int
    if_false: int
    value: int


def program(machine: Machine, pid: int) -> list[Instruction]:
    """The filter of process `pid`: the architecture, the calls whose arguments matter, the lists, and the end."""
    calls = machine.calls
    lines = [
        Instruction(_LOAD, 0, 0, _AT_ARCHITECTURE),
        Instruction(_EQUAL, 1, 0, machine.audit),
        _return(_KILL_PROCESS),
        Instruction(_LOAD, 0, 0, _AT_NUMBER),
    ]
    if machine.has_x32:
        lines += [Instruction(_AT_LEAST, 0, 1, _X32_BIT), _return(_KILL_PROCESS)]
    for name in ("mmap", "mprotect"):
        lines += _when(calls[name], 2, [_any_bit(_PROT_EXEC, _ERRNO | errno.EPERM)], _ALLOW)
    not_a_thread = _any_bit(0xFFFFFFFF & ~_THREAD_FLAGS, _KILL_PROCESS)
    lines += _when(calls["clone"], 0, [not_a_thread, _any_bit(_CLONE_THREAD, _ALLOW)], _KILL_PROCESS)
    lines += _when(calls["tgkill"], 0, [_equal(pid, _ALLOW)], _KILL_PROCESS)
    # Out-of-band data and the like have been ways into the kernel; a plain stream needs none of it.
    for name, flags in _FLAGS.items():
        lines += _when(calls[name], 3, [_any_bit(0xFFFFFFFF & ~flags, _KILL_PROCESS)], _ALLOW)
    # The C library falls back to clone, whose flags this filter can see.
    lines += _equal(calls["clone3"], _ERRNO | errno.ENOSYS)
    for names, action in ((ALLOWED, _ALLOW), (REFUSED, _ERRNO | errno.EPERM)):
        for name in names:
            if name in calls:
                lines += _equal(calls[name], action)
    # A library newer than this file asks for a call newer than this file, and has another way.
    lines += [Instruction(_ABOVE, 0, 1, syscall_table.NEWEST), _return(_ERRNO | errno.ENOSYS)]
    return [*lines, _return(_KILL_PROCESS)]


def _return(action: int) -> Instruction:
    return Instruction(_RETURN, 0, 0, action)


def _equal(value: int, action: int) -> list[Instruction]:
    return [Instruction(_EQUAL, 0, 1, value), _return(action)]


def _any_bit(bits: int, action: int) -> list[Instruction]:
    return [Instruction(_ANY_BIT, 0, 1, bits), _return(action)]


def _when(number: int, argument: int, tests: list[list[Instruction]], otherwise: int) -> list[Instruction]:
    """For one call: test the lower half of an argument, which is all the kernel reads of it here."""
    body = [Instruction(_LOAD, 0, 0, _AT_ARGUMENTS + 8 * argument)]
    body += [instruction for test in tests for instruction in test]
    body.append(_return(otherwise))
    return [Instruction(_EQUAL, 0, len(body), number), *body]


class _Filter(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte), ("k", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.POINTER(_Filter)))


def prepare(instructions: list[Instruction]) -> ctypes.Array[_Filter]:
    """A program as the kernel takes it."""
    return (_Filter * len(instructions))(*[_Filter(*line) for line in instructions])


def install(prepared: ctypes.Array[_Filter]) -> None:
    """Put a program on every thread of this process, for good. Needs no_new_privs. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    number = MACHINES[platform.machine()].calls["seccomp"]
    if libc.syscall(number, _SET_MODE_FILTER, _TSYNC, ctypes.byref(_Program(len(prepared), prepared))) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"seccomp: {os.strerror(code)}")


def _prepare_own() -> ctypes.Array[_Filter] | None:
    machine = MACHINES.get(platform.machine())
    return None if machine is None else prepare(program(machine, _OWN_PROCESS))


# Made once, in the zygote: a millisecond that no fork has to spend. Only the process id is left open.
_prepared = _prepare_own()


def install_filter() -> None:
    """The filter of this process, on every thread of it. Needs no_new_privs. Raises OSError."""
    if _prepared is None:
        raise OSError(errno.ENOSYS, f"there is no filter for {platform.machine()}")
    for line in _prepared:
        if line.k == _OWN_PROCESS:
            line.k = os.getpid()
    install(_prepared)
