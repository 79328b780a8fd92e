"""After an escape: code that runs inside a worker, outside the isolate, gets nowhere (ATTACKS.md, line 9).

Every wall is tried by itself as well: on machines that lack the others, which a filter in front of the worker plays.
"""

import ctypes
import errno
import os
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime.isolate.compiled import find_image
from runtime.isolate.shipped import wasm_path
from sandboxes.walls import WALLS
from tests.attacks.escapee import Escapee, Zygote, zygote
from tests.attacks.kernel_calls import kernel_calls

ROOT = os.geteuid() == 0
NOBODY = 65534
NO_FILTER = {"seccomp": errno.EINVAL}
NO_LANDLOCK = {"landlock_create_ruleset": errno.ENOSYS}
NO_NAMESPACES = {"unshare": errno.EPERM}

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Lockgate runs on Linux")


def users() -> list[Any]:
    ordinary = pytest.mark.skipif(not ROOT, reason="only root can become another user; as an ordinary user this is 0")
    return [pytest.param(0, id="as-started"), pytest.param(NOBODY, id="as-nobody", marks=ordinary)]


@pytest.fixture(scope="module", params=users())
def plain(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    with zygote(user=request.param) as started:
        yield started


@pytest.fixture(scope="module", params=users())
def unfiltered(request: pytest.FixtureRequest) -> Iterator[Zygote]:
    """A machine without seccomp: what the other walls hold alone."""
    with zygote(user=request.param, refused=NO_FILTER) as started:
        yield started


@pytest.fixture(scope="module")
def gateway() -> Iterator["subprocess.Popen[bytes]"]:
    """Stands for the gateway: a process of the user who started everything, with something in its environment."""
    process = subprocess.Popen(["sleep", "600"], env={"SECRET": "something"})
    yield process
    process.kill()
    process.wait()


@pytest.fixture
def listening() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def standing(worker: Escapee, *walls: str) -> None:
    """Skip where the kernel lacks a wall, after looking that the report says so."""
    for wall in walls:
        if worker.walls[wall] != "up":
            assert worker.walls[wall].startswith("refused: ")
            pytest.skip(f"{wall} on this machine is {worker.walls[wall]}")


def test_every_wall_is_reported(plain: Zygote) -> None:
    assert tuple(plain.fork().walls) == WALLS


def test_every_wall_stands_on_this_machine(plain: Zygote) -> None:
    worker = plain.fork()
    standing(worker, *WALLS)
    assert set(worker.walls.values()) == {"up"}


FATAL: dict[str, tuple[str, tuple[int | str, ...]]] = {
    "open a socket": ("socket", (2, 1, 0)),
    "open a UNIX socket": ("socket", (1, 1, 0)),
    "open a pair of sockets": ("socketpair", (1, 1, 0, 0)),
    "connect": ("connect", (0, 0, 0)),
    "listen": ("bind", (0, 0, 0)),
    "pass a descriptor": ("sendmsg", (0, 0, 0)),
    "take a descriptor": ("recvmsg", (0, 0, 0)),
    "exec": ("execve", ("/bin/sh", 0, 0)),
    "exec a descriptor": ("execveat", (0, "", 0, 0, 0x1000)),
    "memory as a file": ("memfd_create", ("x", 0)),
    "trace": ("ptrace", (16, 1, 0, 0)),
    "write another's memory": ("process_vm_writev", (1, 0, 0, 0, 0, 0)),
    "hold another process": ("pidfd_open", (1, 0)),
    "take another's descriptor": ("pidfd_getfd", (0, 0, 0)),
    "signal by descriptor": ("pidfd_send_signal", (0, 9, 0, 0)),
    "queue a signal": ("rt_sigqueueinfo", (1, 9, 0)),
    "new namespaces": ("unshare", (0x10000000,)),
    "enter namespaces": ("setns", (0, 0)),
    "mount": ("mount", ("none", "/", "tmpfs", 0, 0)),
    "change root": ("chroot", ("/",)),
    "become root": ("setuid", (0,)),
    "gain capabilities": ("capset", (0, 0)),
    "asynchronous input and output": ("io_uring_setup", (8, 0)),
    "kernel programs": ("bpf", (0, 0, 0)),
    "kernel modules": ("init_module", (0, 0, "")),
    "performance counters": ("perf_event_open", (0, 0, -1, -1, 0)),
    "handle page faults": ("userfaultfd", (0,)),
    "keys of the kernel": ("keyctl", (0, 0)),
    "shared memory": ("shmget", (0, 4096, 0o1600)),
    "message queues": ("mq_open", ("/x", 0o102, 0o600, 0)),
    "pages of others": ("process_madvise", (0, 0, 0, 0, 0)),
    "executable by key": ("pkey_mprotect", (0, 0, 0, 0)),
    "personality": ("personality", (0x0400000,)),
    "remove a file": ("unlinkat", (-100, "/etc/passwd", 0)),
    "change a file's mode": ("fchmodat", (-100, "/etc/passwd", 0o777)),
    "take a file by handle": ("open_by_handle_at", (0, 0, 0)),
    "another limit": ("setrlimit", (7, 0)),
    "another filter": ("seccomp", (1, 0, 0)),
}


@pytest.mark.parametrize("what", [name for name, (call, _) in FATAL.items() if call in kernel_calls()])
def test_what_only_an_attacker_calls_ends_the_worker(plain: Zygote, what: str) -> None:
    worker = plain.fork()
    standing(worker, "system_calls")
    assert worker.call(*(FATAL[what][0], *FATAL[what][1])) == "killed SIGSYS"


NEWER = 600


def test_a_call_newer_than_the_filter_does_not_exist(plain: Zygote) -> None:
    worker = plain.fork()
    standing(worker, "system_calls")
    assert worker.probe("raw", NEWER) == "ENOSYS"


def test_fork_ends_the_worker(plain: Zygote) -> None:
    worker = plain.fork()
    standing(worker, "system_calls")
    assert worker.probe("fork") == "killed SIGSYS"


@pytest.mark.parametrize("flags", [0x10000000, 0x40000000, 0x20000, 0x11, 0x10000 | 0x40000000 | 0x900], ids=hex)
def test_clone_makes_threads_only(plain: Zygote, flags: int) -> None:
    worker = plain.fork()
    standing(worker, "system_calls")
    assert worker.call("clone", flags, 0, 0, 0, 0) == "killed SIGSYS"


def test_clone3_looks_absent_so_that_libraries_take_clone(plain: Zygote) -> None:
    worker = plain.fork()
    standing(worker, "system_calls")
    assert worker.call("clone3", 0, 0) == "ENOSYS"


def test_memory_cannot_be_made_executable(plain: Zygote) -> None:
    worker = plain.fork()
    standing(worker, "system_calls")
    assert worker.probe("map_executable", 4) == "EPERM"
    assert worker.probe("map_executable", 7) == "EPERM"
    assert worker.probe("make_executable") == "EPERM"
    assert worker.probe("map_executable", 3) == "mapped"


def test_memory_as_a_program_ends_the_worker(plain: Zygote) -> None:
    worker = plain.fork()
    standing(worker, "system_calls")
    assert worker.probe("run_from_memory", kernel_calls()["execveat"]) == "killed SIGSYS"


@pytest.mark.parametrize("call", ["kill", "tkill"])
def test_a_signal_to_another_process_ends_the_worker(
    plain: Zygote, gateway: "subprocess.Popen[bytes]", call: str
) -> None:
    worker = plain.fork()
    standing(worker, "system_calls")
    assert worker.call(call, gateway.pid, 0) == "killed SIGSYS"
    assert gateway.poll() is None


def test_a_thread_signal_reaches_the_own_process_only(plain: Zygote, gateway: "subprocess.Popen[bytes]") -> None:
    worker = plain.fork()
    standing(worker, "system_calls")
    assert worker.call("tgkill", worker.pid, worker.pid, 0) == 0
    assert worker.call("tgkill", gateway.pid, gateway.pid, signal.SIGKILL) == "killed SIGSYS"
    assert gateway.poll() is None


def test_out_of_band_data_ends_the_worker(plain: Zygote) -> None:
    worker = plain.fork()
    standing(worker, "system_calls")
    assert worker.call("sendto", 0, "x", 1, 1, 0, 0) == "killed SIGSYS"


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/proc/self/mem", "/proc/1/environ"])
def test_no_file_can_be_read(plain: Zygote, path: str) -> None:
    worker = plain.fork()
    standing(worker, "files", "system_calls")
    assert worker.probe("read_file", path) in {"EPERM", "EACCES"}


def test_the_store_the_token_and_the_state_cannot_be_read(plain: Zygote, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret")
    worker = plain.fork()
    standing(worker, "files", "system_calls")
    assert worker.probe("read_file", str(token)) in {"EPERM", "EACCES"}
    # getdents is none of a library's bad days.
    assert worker.probe("list_directory", str(tmp_path)) in {"EPERM", "EACCES", "killed SIGSYS"}


def test_no_file_can_be_made(plain: Zygote, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    worker = plain.fork()
    standing(worker, "files", "system_calls")
    assert worker.probe("write_file", str(tmp_path / "new")) in {"EPERM", "EACCES"}
    assert list(tmp_path.iterdir()) == []


def test_the_environment_is_empty(plain: Zygote) -> None:
    assert plain.fork().probe("environment") == {"python": {}, "libc": False}


@pytest.mark.skipif(not ROOT, reason="only root can look into a process that is not traceable")
def test_the_memory_of_the_environment_is_wiped() -> None:
    with zygote(env={"LOCKGATE_SECRET": "something"}) as started:
        worker = started.fork()
        assert worker.probe("environment") == {"python": {}, "libc": False}
        assert b"something" in Path(f"/proc/{started.process.pid}/environ").read_bytes()
        assert b"something" not in Path(f"/proc/{worker.pid}/environ").read_bytes()


def test_inherited_descriptors_are_closed(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    with secret.open("rb") as file, zygote(pass_fds=[file.fileno()]) as started:
        first, second = started.fork(), started.fork()
        for worker in (first, second):
            found = worker.probe("descriptors")
            assert found[:3] == [0, 1, 2]
            assert len(found) == 4, "standard streams and the link"


@pytest.mark.skipif(not ROOT, reason="only root can look into a process that is not traceable")
def test_standard_input_and_output_lead_nowhere(plain: Zygote) -> None:
    worker = plain.fork()
    for number in (0, 1):
        assert str(Path(f"/proc/{worker.pid}/fd/{number}").readlink()) == "/dev/null"


def test_a_worker_is_as_it_seems_from_outside(plain: Zygote) -> None:
    worker = plain.fork()
    standing(worker, "privileges", "system_calls")
    status = dict(line.split(":\t", 1) for line in Path(f"/proc/{worker.pid}/status").read_text().splitlines())
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert {status[name].strip("0") for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {""}
    assert "0" not in status["Uid"].split()
    assert status["CoreDumping"] == "0"
    limits = Path(f"/proc/{worker.pid}/limits").read_text()
    assert [limits.split(name)[1].split()[:2] for name in ("core file size", "locked memory")] == [["0", "0"]] * 2


@pytest.mark.skipif(not ROOT, reason="takes another user per worker, which takes root")
def test_workers_started_by_root_are_users_of_their_own() -> None:
    with zygote() as started:
        users = {Path(f"/proc/{started.fork().pid}/status").read_text().split("Uid:")[1].split()[0] for _ in range(3)}
    assert len(users) == 3
    assert "0" not in users


def test_a_worker_ends_with_its_zygote() -> None:
    with zygote() as started:
        worker = started.fork()
        watched = os.pidfd_open(worker.pid)
        os.kill(started.process.pid, signal.SIGKILL)
        with os.fdopen(watched):
            assert _ends(watched)


def _ends(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 10)[0])


def test_a_worker_that_was_stopped_and_continued_goes_on(plain: Zygote) -> None:
    worker = plain.fork()
    os.kill(worker.pid, signal.SIGSTOP)
    os.kill(worker.pid, signal.SIGCONT)
    assert worker.probe("threads") == "works"


# What a worker writes to standard error.


def test_a_standard_error_that_is_a_file_takes_a_megabyte_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before\n")
    with path.open("ab") as file, zygote(stderr=file) as started:
        answer = started.fork().probe("write_to", 2, 1 << 16, 100)
    assert answer == {"written": 1 << 20, "errno": "EFBIG"}
    assert path.stat().st_size == (1 << 20) + len(b"before\n")


# One wall at a time.


def test_without_a_filter_the_report_says_so(unfiltered: Zygote) -> None:
    walls = unfiltered.fork().walls
    assert walls["system_calls"] == "refused: seccomp: Invalid argument"
    assert {wall for wall, state in walls.items() if state != "up"} == {"system_calls"} or not _plain_machine()


def _plain_machine() -> bool:
    with zygote() as started:
        return set(started.fork().walls.values()) == {"up"}


def test_network_alone_keeps_the_gateway_out_of_reach(unfiltered: Zygote, listening: int) -> None:
    worker = unfiltered.fork()
    standing(worker, "network")
    assert worker.probe("connect", "127.0.0.1", listening) in {"ENETUNREACH", "EACCES"}
    assert worker.probe("connect", "::1", listening) in {"ENETUNREACH", "EADDRNOTAVAIL", "EACCES"}
    assert worker.probe("send_datagram", "127.0.0.1", listening) in {"ENETUNREACH", "EACCES"}


def test_network_alone_hides_abstract_sockets(unfiltered: Zygote) -> None:
    worker = unfiltered.fork()
    standing(worker, "network")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0lockgate-escape-test")
        server.listen()
        assert worker.probe("connect_abstract", "lockgate-escape-test") in {"ECONNREFUSED", "EPERM"}


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "/proc/self/mem", "/proc/1/environ"])
def test_files_alone_cannot_be_read(unfiltered: Zygote, path: str) -> None:
    worker = unfiltered.fork()
    standing(worker, "files")
    assert worker.probe("read_file", path) == "EACCES"


def test_files_alone_cannot_be_listed_made_or_run(unfiltered: Zygote, tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    worker = unfiltered.fork()
    standing(worker, "files")
    assert worker.probe("list_directory", "/") == "EACCES"
    assert worker.probe("write_file", str(tmp_path / "new")) == "EACCES"
    assert worker.probe("execute", "/bin/sh") == "EACCES"
    assert list(tmp_path.iterdir()) == []


def test_privileges_alone_allow_no_way_back(unfiltered: Zygote) -> None:
    worker = unfiltered.fork()
    standing(worker, "privileges")
    identity = worker.probe("identity")
    assert identity["capabilities"] == "00" * 24
    assert 0 not in identity["user"]
    assert worker.call("setuid", 0) in {"EPERM", "EINVAL"}
    assert worker.call("mount", "none", "/", "tmpfs", 0, 0) == "EPERM"
    assert worker.call("chroot", "/") == "EPERM"
    assert worker.call("init_module", 0, 0, "") in {"EPERM", "ENOSYS"}


def test_without_a_filter_other_processes_stay_closed(unfiltered: Zygote, gateway: "subprocess.Popen[bytes]") -> None:
    worker, other = unfiltered.fork(), unfiltered.fork()
    standing(worker, "files", "privileges", "untraceable")
    number = kernel_calls()["process_vm_readv"]
    for pid in (other.pid, gateway.pid, unfiltered.process.pid):
        assert worker.probe("read_memory", pid, 0x10000, number) == "EPERM"
        assert worker.call("ptrace", 16, pid, 0, 0) == "EPERM"
        assert worker.probe("read_file", f"/proc/{pid}/mem") == "EACCES"
        assert worker.probe("read_file", f"/proc/{pid}/environ") == "EACCES"


def test_without_a_filter_the_gateway_cannot_be_signalled(
    unfiltered: Zygote, gateway: "subprocess.Popen[bytes]"
) -> None:
    worker = unfiltered.fork()
    standing(worker, "files", "privileges")
    if not ROOT and not _landlock_scopes_signals():
        pytest.skip("this kernel's Landlock does not scope signals, and the worker is the gateway's user")
    assert worker.probe("kill", gateway.pid, signal.SIGKILL) == "EPERM"
    assert worker.probe("kill", unfiltered.process.pid, signal.SIGKILL) == "EPERM"
    assert gateway.poll() is None


def _landlock_scopes_signals() -> bool:
    return ctypes.CDLL(None).syscall(444, None, 0, 1) >= 6


@pytest.mark.parametrize("user", users())
def test_network_and_user_hold_without_filter_and_landlock(user: int, listening: int) -> None:
    with zygote(user=user, refused=NO_FILTER | NO_LANDLOCK) as started:
        worker = started.fork()
        assert worker.walls["files"] == "refused: landlock_create_ruleset: Function not implemented"
        standing(worker, "network", "privileges")
        assert worker.probe("connect", "127.0.0.1", listening) == "ENETUNREACH"
        assert worker.probe("read_memory", started.process.pid, 0x10000, kernel_calls()["process_vm_readv"]) == "EPERM"
        if ROOT:
            assert worker.probe("read_file", "/etc/shadow") == "EACCES"


@pytest.mark.parametrize("user", users())
def test_the_filter_holds_where_everything_else_is_refused(user: int, tmp_path: Path) -> None:
    with zygote(user=user, refused=NO_LANDLOCK | NO_NAMESPACES) as started:
        worker = started.fork()
        assert worker.walls["network"] == "refused: unshare: Operation not permitted"
        assert worker.walls["files"] == "refused: landlock_create_ruleset: Function not implemented"
        standing(worker, "system_calls")
        assert worker.probe("read_file", "/etc/passwd") == "EPERM"
        assert worker.probe("write_file", str(tmp_path / "new")) == "EPERM"
        assert worker.probe("connect", "127.0.0.1", 9) == "killed SIGSYS"


@pytest.mark.skipif(not ROOT, reason="is about root")
def test_a_root_that_may_not_change_its_user_says_so() -> None:
    with zygote(refused={"setresuid": errno.EPERM}) as started:
        assert started.fork().walls["privileges"].startswith("refused: still user 0")


@pytest.mark.skipif(not ROOT, reason="is about root")
@pytest.mark.parametrize("lacking", ["setresuid", "setgroups", "capset"])
def test_a_root_that_may_change_only_in_part_keeps_no_capability_unsaid(lacking: str) -> None:
    with zygote(refused={lacking: errno.EPERM}) as started:
        worker = started.fork()
        status = Path(f"/proc/{worker.pid}/status").read_text()
        held = [status.split(f"{name}:\t")[1].split()[0].strip("0") for name in ("CapPrm", "CapEff")]
        assert worker.walls["privileges"].startswith("refused") or lacking == "setgroups"
        assert held == ["", ""]


@pytest.mark.skipif(not ROOT, reason="is about root")
def test_a_user_namespace_does_not_hide_that_the_user_is_root() -> None:
    flags = os.CLONE_NEWNET | os.CLONE_NEWIPC
    with zygote(refused={"setresuid": errno.EPERM}, refused_unshare=flags) as started:
        worker = started.fork()
        standing(worker, "network")
        assert worker.walls["privileges"].startswith("refused: still user 0")


@pytest.mark.skipif(not ROOT, reason="is about root")
def test_a_root_without_the_right_to_namespaces_takes_them_as_nobody(listening: int) -> None:
    with zygote(refused=NO_FILTER, refused_unshare=os.CLONE_NEWNET | os.CLONE_NEWIPC) as started:
        worker = started.fork()
        standing(worker, "network", "privileges")
        assert "0" not in Path(f"/proc/{worker.pid}/status").read_text().split("Uid:")[1].split("\n")[0].split()
        assert worker.probe("connect", "127.0.0.1", listening) in {"ENETUNREACH", "EACCES"}


def test_where_nothing_is_granted_the_worker_runs_and_the_report_is_honest(image: Path) -> None:
    with zygote(refused=NO_FILTER | NO_LANDLOCK | NO_NAMESPACES, image=image) as started:
        worker = started.fork()
        refused = {wall for wall, state in worker.walls.items() if state.startswith("refused: ")}
        assert refused >= {"network", "files", "system_calls"}
        assert worker.probe("isolate", "1+1") == ["succeeded", "2"]


# The work itself.


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("images")
    directory.chmod(0o700)
    wasm = directory / "javascript.wasm"
    wasm.write_bytes(wasm_path("javascript").read_bytes())
    found = find_image("javascript", wasm, directory)
    subprocess.run([sys.executable, "-m", "runtime.isolate.images", str(wasm), str(found.path)], check=True)
    return found.path


@pytest.mark.parametrize("user", users())
def test_guests_run_behind_all_walls(user: int, image: Path) -> None:
    with zygote(user=user, image=image) as started:
        worker = started.fork()
        assert worker.probe("threads") == "works"
        assert worker.probe("isolate", "[1, 2].map(x => x * 2)") == ["succeeded", "[2,4]"]
        assert worker.probe("isolate", "for (;;);") == ["limit_cpu", ""]
        assert worker.probe("isolate", "(function f() { f() })()")[0] == "limit_stack"


@pytest.mark.parametrize("how", ["replaced", "removed"])
def test_an_image_replaced_while_in_use_goes_on_as_it_was(image: Path, tmp_path: Path, how: str) -> None:
    tmp_path.chmod(0o700)
    own = tmp_path / "own.cwasm"
    own.write_bytes(image.read_bytes())
    with zygote(image=own) as started:
        before = started.fork()
        if how == "replaced":
            other = tmp_path / "other"
            other.write_bytes(b"not an image at all")
            other.replace(own)
        else:
            own.unlink()
        after = started.fork()
        assert before.probe("isolate", "1+1") == ["succeeded", "2"]
        assert after.probe("isolate", "1+1") == ["succeeded", "2"]


@pytest.mark.parametrize("open_to_others", ["file", "directory"])
def test_an_image_that_others_can_write_is_not_loaded(image: Path, tmp_path: Path, open_to_others: str) -> None:
    tmp_path.chmod(0o700)
    own = tmp_path / "own.cwasm"
    own.write_bytes(image.read_bytes())
    own.chmod(0o600)
    (own if open_to_others == "file" else tmp_path).chmod(0o772)
    log = image.parent / f"{open_to_others}.log"
    with log.open("wb") as file, pytest.raises(AssertionError, match="ended"), zygote(image=own, stderr=file):
        pass
    assert "may be written by others" in log.read_text()


def test_the_zygote_gives_up_what_it_can(plain: Zygote) -> None:
    assert set(plain.walls) == {"first_to_go", "untraceable", "no_new_privileges"}
    status = Path(f"/proc/{plain.process.pid}/status").read_text()
    assert "NoNewPrivs:\t1" in status


def test_workers_go_before_gateway_and_proxy_when_memory_runs_out(plain: Zygote) -> None:
    worker = plain.fork()
    own = int(Path("/proc/self/oom_score_adj").read_text())
    assert int(Path(f"/proc/{worker.pid}/oom_score_adj").read_text()) > own or plain.walls["first_to_go"] != "up"
