"""Inside a worker, outside the isolate: what somebody would do who has escaped. Started by tests/attacks/escapee.py.

Not a part of Lockgate: it stands in for the zygote, forks and locks down as the zygote does, and then runs one probe
where the worker would run guests. Reads JSON lines on standard input and writes JSON lines on standard output.
"""

import ctypes
import errno
import json
import mmap
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from runtime.isolate.compiled import CompiledImage
from runtime.isolate.engine import Ticker, make_engine
from runtime.isolate.guest import Guest, GuestLimits
from runtime.isolate.images import load_image
from runtime.isolate.isolate import Nowhere
from runtime.isolate.slots import RunSlots
from runtime.worker import syscall_filter
from runtime.worker.lockdown import lock_down, lock_down_zygote

libc = ctypes.CDLL(None, use_errno=True)
PAGE = mmap.PAGESIZE


def raw(number: int, *arguments: int | str) -> int:
    """One system call."""
    converted = [argument.encode() if isinstance(argument, str) else ctypes.c_long(argument) for argument in arguments]
    result = libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return int(result)


def connect(host: str, port: int) -> str:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
        sock.settimeout(5)
        sock.connect((host, port))
    return "connected"


def send_datagram(host: str, port: int) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(b"hello", (host, port))
    return "sent"


def connect_abstract(name: str) -> str:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect("\0" + name)
    return "connected"


def read_file(path: str) -> str:
    return Path(path).read_bytes()[:20].hex()


def write_file(path: str) -> str:
    Path(path).write_bytes(b"was here")
    return "written"


def list_directory(path: str) -> list[str]:
    return [entry.name for entry in Path(path).iterdir()]


def execute(path: str) -> None:
    os.execv(path, [path, "-c", "exit 0"])


def fork() -> str:
    child = os.fork()
    if child == 0:
        os._exit(0)
    return "forked"


def kill(pid: int, number: int) -> str:
    os.kill(pid, number)
    return "sent"


def read_memory(pid: int, address: int, number: int) -> str:
    """process_vm_readv."""
    buffer = ctypes.create_string_buffer(8)
    local = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    remote = (ctypes.c_void_p * 2)(address, 8)
    read = libc.syscall(number, pid, local, 1, remote, 1, 0)
    if read < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return buffer.raw.hex()


def map_executable(flags: int) -> str:
    mmap.mmap(-1, PAGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=flags).close()
    return "mapped"


def make_executable() -> str:
    memory = mmap.mmap(-1, PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    if libc.mprotect(ctypes.c_void_p(address), PAGE, mmap.PROT_READ | mmap.PROT_EXEC) != 0:
        raise OSError(ctypes.get_errno(), "refused")
    return "executable"


def run_from_memory(execveat: int) -> None:
    descriptor = os.memfd_create("payload")
    os.write(descriptor, b"#!/bin/sh\nexit 0\n")
    raw(execveat, descriptor, "", 0, 0, 0x1000)


def descriptors() -> list[int]:
    """Those that are open, as far as mapping them tells."""
    libc.mmap.restype = ctypes.c_void_p
    libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
    found = []
    for number in range(256):
        mapped = libc.mmap(None, PAGE, mmap.PROT_READ, mmap.MAP_PRIVATE, number, 0)
        if mapped != ctypes.c_void_p(-1).value or ctypes.get_errno() != errno.EBADF:
            found.append(number)
    return found


def write_to(descriptor: int, size: int, times: int) -> dict[str, Any]:
    written = 0
    for _ in range(times):
        try:
            written += os.write(descriptor, b"x" * size)
        except OSError as error:
            return {"written": written, "errno": errno.errorcode[error.errno]}
    return {"written": written}


def environment() -> dict[str, Any]:
    return {"python": dict(os.environ), "libc": bool(ctypes.c_void_p.in_dll(libc, "environ").value and _first())}


def _first() -> int | None:
    return ctypes.POINTER(ctypes.c_void_p).in_dll(libc, "environ")[0]


def identity() -> dict[str, Any]:
    """Asked of the kernel by capget, which the filter refuses: only for machines without a filter."""
    data = ctypes.create_string_buffer(24)
    libc.capget((ctypes.c_uint32 * 2)(0x20080522, 0), data)
    return {"user": list(os.getresuid()), "groups": os.getgroups(), "capabilities": data.raw.hex()}


def threads() -> str:
    """What a worker lives on still works: threads, locks with time-outs, randomness, memory, clocks."""
    results: list[bytes] = []
    worker = threading.Thread(target=lambda: results.append(os.urandom(4) + bytes(8 << 20)))
    worker.start()
    worker.join(5)
    before = time.monotonic()
    threading.Event().wait(0.01)
    return "works" if len(results) == 1 and time.monotonic() > before and time.thread_time() > 0 else "broken"


def isolate(program: str) -> list[str]:
    """A guest runs, and is stopped when it spins."""
    limits = dict.fromkeys(GuestLimits.__dataclass_fields__, 1_000)
    guest = Guest(
        limits=GuestLimits(**{**limits, "cpu_ms": 100, "memory_bytes": 64 << 20}),
        seed=bytes(32),
        start_ns=0,
        channel=Nowhere(),
        slots=RunSlots(1),
        received=time.monotonic(),
    )
    outcomes: list[Any] = []

    def run() -> None:
        with Ticker(ENGINE):
            guest.begin()
            outcomes.append(IMAGES[0].isolate().run(guest, program, "null"))
            guest.finish()

    threading.stack_size(16 << 20)
    thread = threading.Thread(target=run)
    thread.start()
    thread.join(10)
    return [outcomes[0].ending.status, outcomes[0].result]


PROBES = {name: value for name, value in list(globals().items()) if getattr(value, "__module__", "") == __name__}
ENGINE: Any = None
IMAGES: list[Any] = []


def attempt(probe: str, arguments: list[Any]) -> dict[str, Any]:
    try:
        return {"value": PROBES[probe](*arguments)}
    except OSError as error:
        return {"errno": errno.errorcode.get(error.errno or 0, str(error))}
    except BaseException as error:  # noqa: BLE001 - a probe reports whatever happens
        return {"failure": f"{type(error).__name__}: {error}"}


def lack(refused: dict[str, int], unshare: list[int]) -> None:
    """Be a kernel, or a container, that answers these calls with an error: number to errno; unshare by its flags."""
    libc.prctl(38, 1, 0, 0, 0)
    lines = [syscall_filter.Instruction(0x20, 0, 0, 0)]
    for number, code in refused.items():
        lines += [
            syscall_filter.Instruction(0x15, 0, 1, int(number)),
            syscall_filter.Instruction(0x06, 0, 0, 0x00050000 | code),
        ]
    if unshare:
        number, flags = unshare
        lines += [
            syscall_filter.Instruction(0x15, 0, 3, number),
            syscall_filter.Instruction(0x20, 0, 0, 16),
            syscall_filter.Instruction(0x15, 0, 1, flags),
            syscall_filter.Instruction(0x06, 0, 0, 0x00050000 | errno.EPERM),
        ]
    syscall_filter.install(syscall_filter.prepare([*lines, syscall_filter.Instruction(0x06, 0, 0, 0x7FFF0000)]))


def become_worker(link: socket.socket) -> None:
    walls = lock_down([link.fileno()])
    link.send(json.dumps({"walls": walls}).encode())
    while order := link.recv(1 << 16):
        link.send(json.dumps(attempt(**json.loads(order))).encode())
    os._exit(0)


def say(line: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> None:
    global ENGINE  # noqa: PLW0603 - forked children find it here
    settings = json.loads(sys.stdin.readline())
    libc.prctl(1, signal.SIGKILL, 0, 0, 0)
    if settings["image"]:
        ENGINE = make_engine()
        image = CompiledImage(name="test", digest="", path=Path(settings["image"]))
        IMAGES.append(load_image(ENGINE, image))
    if user := settings["user"]:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
        # As after an exec, which is how a service of an ordinary user comes to be.
        libc.prctl(4, 1, 0, 0, 0)
    if settings["refused"] or settings["unshare"]:
        lack(settings["refused"], settings["unshare"])
    zygote = lock_down_zygote()
    say({"zygote": zygote})
    for line in sys.stdin:
        serve(json.loads(line))


WORKERS: dict[int, socket.socket] = {}


def serve(request: dict[str, Any]) -> None:
    if request["do"] == "fork":
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            ours.close()
            for other in WORKERS.values():
                other.close()
            become_worker(theirs)
        theirs.close()
        WORKERS[pid] = ours
        say({"pid": pid, **receive(pid)})
    elif request["do"] == "probe":
        order = {"probe": request["probe"], "arguments": request["arguments"]}
        WORKERS[request["pid"]].send(json.dumps(order).encode())
        say(receive(request["pid"]))


def receive(pid: int) -> dict[str, Any]:
    """What a worker says, or how it ended."""
    data = WORKERS[pid].recv(1 << 20)
    if data:
        return json.loads(data)  # type: ignore[no-any-return]
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        return {"killed": signal.Signals(os.WTERMSIG(status)).name}
    return {"ended": os.WEXITSTATUS(status)}


if __name__ == "__main__":
    main()
