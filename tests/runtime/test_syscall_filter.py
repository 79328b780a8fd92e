"""The worker's filter, run in an interpreter of classic BPF: for both machines, over every call the kernel has."""

import errno
import socket

import pytest

from runtime.worker.syscall_filter import ALLOWED, MACHINES, REFUSED, Instruction, Machine, program
from runtime.worker.syscall_table import AARCH64, NEWEST, X86_64
from tests.attacks.kernel_calls import kernel_calls

PID = 4711
KILL, ALLOW = "kill", "allow"
SPECIAL = {"mmap", "mprotect", "clone", "clone3", "tgkill", "sendto", "recvfrom"}
THREAD = 0x3D0F00
"""What glibc's pthread_create asks of clone."""


def run(lines: list[Instruction], audit: int, number: int, *arguments: int) -> str:
    """The verdict on one system call."""
    words = {0: number, 4: audit}
    for index, argument in enumerate(arguments):
        words[16 + 8 * index] = argument & 0xFFFFFFFF
        words[20 + 8 * index] = argument >> 32
    at, loaded = 0, 0
    while True:
        code, if_true, if_false, value = lines[at]
        at += 1
        match code:
            case 0x20:
                loaded = words.get(value, 0)
            case 0x06:
                return _verdict(value)
            case _:
                tests = {0x15: loaded == value, 0x25: loaded > value, 0x35: loaded >= value, 0x45: loaded & value}
                at += if_true if tests[code] else if_false


def _verdict(value: int) -> str:
    if value == 0x7FFF0000:
        return ALLOW
    if value == 0x80000000:
        return KILL
    assert value >> 16 == 5
    return errno.errorcode[value & 0xFFFF]


def verdict(machine: Machine, name: str, *arguments: int) -> str:
    return run(program(machine, PID), machine.audit, machine.calls[name], *arguments)


@pytest.fixture(params=MACHINES)
def machine(request: pytest.FixtureRequest) -> Machine:
    return MACHINES[request.param]


@pytest.mark.parametrize(("name", "table"), [("x86_64", X86_64), ("aarch64", AARCH64)])
def test_the_numbers_are_those_of_the_kernel(name: str, table: dict[str, int]) -> None:
    kernel = kernel_calls(name)
    assert {call: kernel.get(call) for call in table} == table
    assert max(kernel.values()) == NEWEST


def test_both_tables_know_what_a_worker_needs() -> None:
    assert {*ALLOWED, *SPECIAL, "seccomp"} <= AARCH64.keys() & X86_64.keys()
    assert set(REFUSED) <= X86_64.keys()
    assert set(X86_64) - set(AARCH64) == {"open", "stat", "lstat", "poll", "access", "readlink", "time"}


@pytest.mark.parametrize("name", MACHINES)
def test_every_call_of_the_kernel_has_the_verdict_it_should(name: str) -> None:
    found: dict[str, set[str]] = {ALLOW: set(), KILL: set(), "EPERM": set(), "ENOSYS": set()}
    for call, number in kernel_calls(name).items():
        if call not in SPECIAL:
            found[run(program(MACHINES[name], PID), MACHINES[name].audit, number)].add(call)
    assert found[ALLOW] == set(ALLOWED)
    assert found["EPERM"] == set(REFUSED) & MACHINES[name].calls.keys()
    assert found["ENOSYS"] == set()
    assert {"execve", "socket", "ptrace", "bpf", "io_uring_setup", "open_by_handle_at"} <= found[KILL]


def test_a_call_newer_than_the_table_does_not_exist(machine: Machine) -> None:
    assert run(program(machine, PID), machine.audit, NEWEST + 1) == "ENOSYS"
    assert run(program(machine, PID), machine.audit, NEWEST) == KILL


def test_another_architecture_ends_the_process(machine: Machine) -> None:
    for audit in (0x40000003, 0, *(other.audit for other in MACHINES.values() if other is not machine)):
        assert run(program(machine, PID), audit, 0) == KILL


def test_x32_ends_the_process() -> None:
    machine = MACHINES["x86_64"]
    assert run(program(machine, PID), machine.audit, 0x40000000 | machine.calls["write"]) == KILL


@pytest.mark.parametrize("call", ["mmap", "mprotect"])
@pytest.mark.parametrize(
    ("protection", "expected"),
    [(0, ALLOW), (3, ALLOW), (4, "EPERM"), (5, "EPERM"), (7, "EPERM"), (4 | 1 << 40, "EPERM")],
)
def test_executable_memory_is_refused(machine: Machine, call: str, protection: int, expected: str) -> None:
    assert verdict(machine, call, 0, 4096, protection) == expected


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        (THREAD, ALLOW),
        (THREAD | 0x400000, ALLOW),  # musl
        (THREAD & ~0x10000, KILL),
        (17, KILL),
        (0x4111, KILL),  # vfork
        (THREAD | 0x40000000, KILL),
        (THREAD | 0x10000000, KILL),
        (THREAD | 0x2000, KILL),
        (THREAD | 1 << 33, ALLOW),  # clone reads the lower half only
    ],
)
def test_clone_makes_threads_and_nothing_else(machine: Machine, flags: int, expected: str) -> None:
    assert verdict(machine, "clone", flags) == expected


@pytest.mark.parametrize(
    ("process", "expected"), [(PID, ALLOW), (PID | 1 << 32, ALLOW), (1, KILL), (0, KILL), (0xFFFFFFFF, KILL)]
)
def test_thread_signals_stay_at_home(machine: Machine, process: int, expected: str) -> None:
    # A pid is an int: of PID with a bit above, the kernel sees PID.
    assert verdict(machine, "tgkill", process, 5, 6) == expected


@pytest.mark.parametrize("call", ["sendto", "recvfrom"])
@pytest.mark.parametrize(("flags", "expected"), [(0, ALLOW), (0x4000, ALLOW), (1, KILL), (0x20000000, KILL)])
def test_streams_are_plain(machine: Machine, call: str, flags: int, expected: str) -> None:
    assert verdict(machine, call, 3, 0, 10, flags) == expected


@pytest.mark.parametrize(("call", "expected"), [("recvfrom", ALLOW), ("sendto", KILL)])
def test_reading_need_not_wait(machine: Machine, call: str, expected: str) -> None:
    assert verdict(machine, call, 3, 0, 10, socket.MSG_DONTWAIT) == expected


def test_clone3_looks_absent(machine: Machine) -> None:
    assert verdict(machine, "clone3", 0, 0) == "ENOSYS"


def test_the_program_fits_into_the_kernel_and_every_jump_into_the_program(machine: Machine) -> None:
    lines = program(machine, PID)
    assert len(lines) < 4096
    assert lines[-1].code == 0x06
    for index, line in enumerate(lines):
        if line.code not in {0x06, 0x20}:
            assert index + 1 + max(line.if_true, line.if_false) < len(lines)
