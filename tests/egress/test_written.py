"""What the proxy writes of itself: log lines and crashes hold no secret, in any spelling."""

import logging
import subprocess
import sys
from types import SimpleNamespace

import pytest

from egress.secrets import Secret
from tests.egress.lab import SECRET
from tests.egress.spelled import SPELLINGS


def formatter() -> logging.Formatter:
    from tests.egress import in_process  # noqa: F401, I001, PLC0415 - imports mitmproxy the way the proxy does it
    from egress.process import _RedactedLines  # noqa: PLC0415

    known = [Secret("ledger-token", SECRET.encode())]
    return _RedactedLines(SimpleNamespace(secrets=SimpleNamespace(known=lambda: known), former_secrets=()))


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_log_line_holds_no_secret(name: str) -> None:
    spelled = SPELLINGS[name](SECRET).decode("latin-1")
    line = formatter().format(logging.LogRecord("mitmproxy", logging.ERROR, "", 0, "bad head: %s", (spelled,), None))
    assert spelled not in line
    assert "[redacted:ledger-token]" in line


@pytest.mark.parametrize("name", SPELLINGS)
def test_a_traceback_holds_no_secret(name: str) -> None:
    spelled = SPELLINGS[name](SECRET).decode("latin-1")
    with pytest.raises(ValueError) as caught:
        int(spelled)
    record = logging.LogRecord("mitmproxy", logging.ERROR, "", 0, "failed", (), caught._excinfo)
    assert "ValueError" in formatter().format(record)
    assert spelled not in formatter().format(record)


CRASH = """
import sys, threading
from types import SimpleNamespace
from egress import lean
lean.install()
from egress import process
from egress.secrets import Secret

known = [Secret("ledger-token", b"SECRET")]
process._log_to_stderr(SimpleNamespace(secrets=SimpleNamespace(known=lambda: known), former_secrets=()))

class Unraisable:
    def __del__(self):
        raise ValueError("in a finaliser: " + "SEC" + "RET")

def fail():
    raise ValueError("in a thread: " + "SEC" + "RET")

thread = threading.Thread(target=fail)
thread.start()
thread.join()
Unraisable()
raise ValueError("at the end: " + "SEC" + "RET")
"""


def test_what_nobody_catches_is_written_without_a_secret() -> None:
    value = "c0r0net-Value-4711"
    code = CRASH.replace('"SEC" + "RET"', f"{value[:5]!r} + {value[5:]!r}").replace("SECRET", value)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert value not in done.stderr
    assert done.stderr.count("[redacted:ledger-token]") >= 3
    for where in ("in a thread", "in a finaliser", "at the end"):
        assert where in done.stderr
