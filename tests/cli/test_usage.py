"""What the command line says to options and files that are wrong: which one, why, and what was expected."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cell import ROOT


@pytest.fixture
def home(tmp_path: Path) -> Path:
    path = tmp_path / "home"
    path.mkdir(mode=0o700)
    return path


def lockgate(home: Path, *arguments: str, stdin: bytes = b"1", **environ: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "runtime.cli", *arguments]
    environment = {**os.environ, "LOCKGATE_HOME": str(home), **environ}
    return subprocess.run(command, check=False, input=stdin, capture_output=True, env=environment, cwd=ROOT, timeout=60)


SERVERS = {
    "no port": "localhost",
    "a URL": "http://127.0.0.1:7700",
    "no host": ":7700",
    "port too large": "127.0.0.1:77000",
    "bare IPv6": "::1:7700:x",
    "empty": "",
    "a resolver's scheme": "unix:/tmp/socket",
}


@pytest.mark.parametrize("command", [["run", "-"], ["search", "x"], ["describe", "a.b"], ["mcp"]], ids=lambda c: c[0])
@pytest.mark.parametrize("server", SERVERS.values(), ids=SERVERS)
def test_a_server_that_is_no_address_is_refused_before_anything_happens(home, command, server) -> None:
    done = lockgate(home, *command, f"--server={server}")
    assert done.returncode == 2, done.stderr
    last = done.stderr.decode().splitlines()[-1]
    expected = 'expected "host:port" such as "127.0.0.1:7700" or "[::1]:7700", not "{}"'
    assert last.endswith(f"argument --server: {expected.format(server)}")


def test_embedded_and_a_server_contradict_each_other(home) -> None:
    done = lockgate(home, "run", "-", "--embedded", "--server", "127.0.0.1:7700")
    assert done.returncode == 2
    assert b"--server: not allowed with argument --embedded" in done.stderr


def bad_utf8(path: Path) -> Path:
    path.write_bytes(b'{"a": "\xff"}')
    return path


def test_a_program_that_cannot_be_read_is_named(home, tmp_path) -> None:
    absent = lockgate(home, "run", str(tmp_path / "absent.js"))
    assert absent.returncode == 2
    assert absent.stderr.decode() == f"lockgate: cannot read {tmp_path}/absent.js: No such file or directory\n"
    directory = lockgate(home, "run", str(tmp_path))
    assert directory.stderr.decode() == f"lockgate: cannot read {tmp_path}: Is a directory\n"


def test_a_program_that_is_not_utf8_is_named(home, tmp_path) -> None:
    path = bad_utf8(tmp_path / "program.js")
    assert lockgate(home, "run", str(path)).stderr.decode() == (
        f"lockgate: {path} is not UTF-8: byte 0xff at offset 7\n"
    )
    piped = lockgate(home, "run", "-", stdin=b"\xff")
    assert piped.stderr == b"lockgate: standard input is not UTF-8: byte 0xff at offset 0\n"


def test_inputs_that_cannot_be_read_name_their_file(home, tmp_path) -> None:
    absent = lockgate(home, "run", "-", "--inputs", f"@{tmp_path}/absent.json")
    assert absent.returncode == 2
    assert absent.stderr.decode() == f"lockgate: cannot read {tmp_path}/absent.json: No such file or directory\n"
    path = bad_utf8(tmp_path / "inputs.json")
    broken = lockgate(home, "run", "-", "--inputs", f"@{path}")
    assert broken.stderr.decode() == f"lockgate: {path} is not UTF-8: byte 0xff at offset 7\n"


def test_inputs_that_are_no_json_name_their_file_or_option(home, tmp_path) -> None:
    path = tmp_path / "inputs.json"
    path.write_text("{")
    from_file = lockgate(home, "run", "-", "--inputs", f"@{path}")
    assert from_file.returncode == 2
    assert from_file.stderr.decode().startswith(f"lockgate: {path} is not JSON: ")
    assert lockgate(home, "run", "-", "--inputs", "{").stderr.startswith(b"lockgate: --inputs is not JSON: ")


def test_a_configuration_that_is_not_there_has_no_line(home, tmp_path) -> None:
    named = lockgate(home, "profiles", "--config", str(tmp_path / "absent.yaml"))
    assert named.returncode == 4
    assert named.stderr.decode() == f"lockgate: {tmp_path}/absent.yaml: cannot be read: No such file or directory\n"
    by_variable = lockgate(home, "profiles", LOCKGATE_CONFIG=str(tmp_path / "absent.yaml"))
    assert by_variable.stderr == named.stderr


def test_a_directory_of_profiles_that_is_not_there_has_no_line(home, tmp_path) -> None:
    config = tmp_path / "lockgate.yaml"
    config.write_text("profiles: [absent]\n")
    done = lockgate(home, "profiles", "--config", str(config))
    assert done.stderr.decode() == f"lockgate: {tmp_path}/absent: is not a directory\n"


def test_a_command_does_not_load_what_only_another_needs() -> None:
    """The MCP SDK takes longer to load than everything else of `lockgate serve`."""
    dear = {"mcp", "mcp_types", "mitmproxy", "starlette"}
    code = f"import sys, runtime.command.line; print(sorted({dear} & {{*sys.modules}}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
