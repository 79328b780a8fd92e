"""Every wall by itself, on machines that lack the others, which a filter in front of the worker plays."""

import ctypes
import errno
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.attacks.escapee import Zygote, zygote
from tests.attacks.kernel_calls import kernel_calls
from tests.attacks.machines import (
    NO_FILTER,
    NO_LANDLOCK,
    NO_NAMESPACES,
    ROOT,
    gateway,
    image,
    listening,
    standing,
    unfiltered,
    users,
)

__all__ = ["gateway", "image", "listening", "unfiltered"]


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
@pytest.mark.parametrize("lacking", ["setresuid", "capget"])
def test_a_user_namespace_does_not_hide_that_the_user_is_root(lacking: str) -> None:
    flags = os.CLONE_NEWNET | os.CLONE_NEWIPC
    with zygote(refused={lacking: errno.EPERM}, refused_unshare=flags) as started:
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
