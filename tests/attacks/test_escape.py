"""After an escape: code that runs inside a worker, outside the isolate, gets nowhere."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from sandboxes.walls import WALLS
from tests.attacks.escapee import Zygote, zygote
from tests.attacks.kernel_calls import kernel_calls
from tests.attacks.machines import ROOT, gateway, image, plain, standing, users

__all__ = ["gateway", "image", "plain"]


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


# The work itself.


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
