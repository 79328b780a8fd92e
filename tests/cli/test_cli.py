"""The command line as a user runs it: a process, its output and its exit status."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.cell import ROOT, TestCell, open_shared_state

PROFILE = "untrusted"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return open_shared_state(tmp_path / "home").path


def environment(home: Path) -> dict[str, str]:
    return {**os.environ, "LOCKGATE_HOME": str(home)}


def lockgate(home: Path, *arguments: str, stdin: bytes = b"", cwd: Path = ROOT) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "runtime.cli", *arguments]
    return subprocess.run(
        command, check=False, input=stdin, capture_output=True, env=environment(home), cwd=cwd, timeout=60
    )


def test_version(home):
    done = lockgate(home, "version")
    assert done.returncode == 0
    assert done.stdout.startswith(b"lockgate 0.")


def test_run_without_a_server_starts_a_cell_and_leaves_nothing(home, tmp_path):
    program = tmp_path / "program.js"
    program.write_text("console.log('log line'); await new Promise((r) => setTimeout(r, 300)); ({sum: inputs.a + 1})")
    command = [sys.executable, "-m", "runtime.cli", "run", str(program), "--embedded", "--inputs", '{"a": 2}']
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(home), cwd=tmp_path, text=True
    ) as process:
        assert process.stderr.readline() == "log line\n"
        children = psutil.Process(process.pid).children(recursive=True)
        assert json.loads(process.stdout.read()) == {"sum": 3}
    assert process.returncode == 0
    assert len(children) >= 4
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


STATUSES = {
    "success": ("1 + 1", [], 0),
    "program error": ("throw new Error('x')", [], 1),
    "syntax error": ("let = ;", [], 1),
    "limit": ("for (;;);", ["--profile", "tests"], 3),
    "unknown profile": ("1", ["--profile", "nope"], 4),
    "bad inputs": ("1", ["--inputs", "{"], 2),
}


@pytest.mark.parametrize(("code", "options", "status"), STATUSES.values(), ids=STATUSES)
def test_exit_status(cell: TestCell, code, options, status):
    profile = [] if "--profile" in options else ["--profile", PROFILE]
    arguments = ["run", "-", "--server", cell.address, *profile, *options]
    done = lockgate(cell.state.path, *arguments, stdin=code.encode())
    assert done.returncode == status, done.stderr
    assert b"Traceback" not in done.stderr


def test_a_service_that_is_not_there_is_infrastructure(home):
    done = lockgate(home, "run", "-", "--server", "127.0.0.1:1", stdin=b"1")
    assert done.returncode == 5
    assert b"Traceback" not in done.stderr


def test_broken_utf8_is_told_with_its_place(cell: TestCell):
    done = lockgate(cell.state.path, "run", "-", "--server", cell.address, stdin=b"1 + \xff")
    assert done.returncode == 2
    assert b"not UTF-8: byte 0xff at offset 4" in done.stderr


def test_an_error_is_shown_with_a_caret(cell: TestCell):
    done = lockgate(cell.state.path, "run", "-", "--server", cell.address, stdin=b"const a = 1;\nthrow new Error('no')")
    assert b"Error: no (line 2, column 11)" in done.stderr
    assert b"    throw new Error('no')\n              ^" in done.stderr


def test_json_prints_the_whole_reply(cell: TestCell):
    done = lockgate(cell.state.path, "run", "-", "--json", "--server", cell.address, stdin=b"console.log('x'); 7")
    reply = json.loads(done.stdout)
    assert reply["execution"]["status"] == "STATUS_SUCCEEDED"
    assert reply["execution"]["result_json"] == "7"
    assert reply["execution"]["logs"][0]["text"] == "x"


@pytest.mark.parametrize("when", ["starting", "running"])
def test_ctrl_c_ends_it_cleanly(home, tmp_path, when):
    code = "console.log('running'); await new Promise((r) => setTimeout(r, 20000))"
    # Where tests run in the background, what they start would not hear the signal.
    command = ["env", "--default-signal=INT", sys.executable, "-m", "runtime.cli", "run", "-", "--embedded"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(home), cwd=tmp_path, text=True
    ) as process:
        process.stdin.write(code)
        process.stdin.close()
        me = psutil.Process(process.pid)
        if when == "running":
            assert process.stderr.readline() == "running\n"
        else:
            while not me.children():
                pass
        children = me.children(recursive=True)
        process.send_signal(signal.SIGINT)
        rest = process.stderr.read()
    assert process.returncode == 130, rest
    assert "Traceback" not in rest
    _, alive = psutil.wait_procs(children, timeout=5)
    assert not alive


def test_what_is_left_out_is_listed_with_the_reason(cell: TestCell):
    listed = lockgate(cell.state.path, "tools", "skipped", "--server", cell.address)
    assert listed.returncode == 0
    assert b"nothing is left out" in listed.stderr
    unknown = lockgate(cell.state.path, "tools", "skipped", "nope", "--server", cell.address)
    assert unknown.returncode != 0
    assert b'there is no upstream "nope"; there are ' in unknown.stderr


def test_search_and_describe(cell: TestCell):
    found = lockgate(cell.state.path, "search", "list", "accounts", "--server", cell.address)
    assert found.returncode == 0
    assert b"ledger.listAccounts" in found.stdout
    described = lockgate(cell.state.path, "describe", "ledger.listAccounts", "--server", cell.address)
    assert b"listAccounts" in described.stdout
    unknown = lockgate(cell.state.path, "describe", "ledger.listAcounts", "--server", cell.address)
    assert unknown.returncode == 1
    assert b"nearest are ledger.listAccounts" in unknown.stderr
    for options, mark in (((), False), (("--profile", "tests"), True)):
        found = lockgate(cell.state.path, "search", "notes.delete_note", "--server", cell.address, *options)
        assert (b"[not allowed]" in found.stdout.splitlines()[0]) is mark


def test_profiles_are_listed_and_checked(home, tmp_path):
    listed = lockgate(home, "profiles", cwd=tmp_path)
    assert b"standard  version 1  sha256:" in listed.stdout
    good = lockgate(home, "profiles", "check", "sandboxes/profiles/standard.yaml")
    assert good.returncode == 0
    bad = tmp_path / "bad.yaml"
    bad.write_text("name: x\nversion: 1\nlanguages: [javascript]\nenvironments: [dev]\nlimts: {}\n")
    checked = lockgate(home, "profiles", "check", str(bad))
    assert checked.returncode == 4
    assert f"{bad}:5:1".encode() in checked.stderr
    assert b"limits" in checked.stderr


def test_doctor_says_what_is_there(home, tmp_path):
    done = lockgate(home, "doctor", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert b"guest image javascript" in done.stdout
    assert b"lockgate: ready" in done.stderr


def test_doctor_names_a_broken_configuration(home, tmp_path):
    (tmp_path / "lockgate.yaml").write_text("listen: {grpc: nowhere}\n")
    done = lockgate(home, "doctor", cwd=tmp_path)
    assert done.returncode == 5
    assert b"lockgate.yaml:1" in done.stdout
