"""What the processes of a cell hold: workers nothing, the gateway no secret, the egress proxy the secrets."""

from pathlib import Path

import psutil
import pytest

from tests.cell import LEDGER_TOKEN, TestCell


def children(cell: TestCell, what: str) -> list[psutil.Process]:
    roots = [psutil.Process(pid) for pid in cell.cell.pids.values()]
    family = [process for root in roots for process in (root, *root.children(recursive=True))]
    return [process for process in family if what in " ".join(process.cmdline())]


def environment(process: psutil.Process) -> bytes:
    return Path(f"/proc/{process.pid}/environ").read_bytes()


def test_zygote_and_workers_have_an_empty_environment(cell: TestCell):
    processes = children(cell, "runtime.worker.zygote")
    assert len(processes) >= 2
    for process in processes:
        try:
            assert environment(process) == b""
        except PermissionError:
            continue  # not traceable: no environment to be had at all


def test_a_worker_is_in_a_network_namespace_of_its_own(cell: TestCell):
    own = Path("/proc/self/ns/net").readlink()
    zygote, *workers = children(cell, "runtime.worker.zygote")
    for worker in workers:
        status = Path(f"/proc/{worker.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "Seccomp:\t2" in status
        try:
            assert Path(f"/proc/{worker.pid}/ns/net").readlink() != own
        except PermissionError:
            pytest.skip("this machine does not let its namespaces be read")
    assert zygote.is_running()


def test_a_worker_has_no_network_connection(cell: TestCell):
    for process in children(cell, "runtime.worker.zygote"):
        assert process.net_connections("inet") == []


def test_the_gateway_has_no_secret_in_its_environment(cell: TestCell):
    (gateway,) = children(cell, "runtime.service.gateway")
    assert LEDGER_TOKEN.encode() not in environment(gateway)
    assert b"LEDGER_TOKEN" not in environment(gateway)


def test_the_token_file_is_its_owners_alone(cell: TestCell):
    assert cell.state.token_file.stat().st_mode & 0o777 == 0o600
    assert cell.state.event_file.stat().st_mode & 0o777 == 0o600
