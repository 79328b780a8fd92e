"""The gateway's side of the zygote says how it ended."""

import socket
import subprocess
import sys

import pytest

from runtime.worker.process import how_it_ended
from runtime.worker.zygote_process import ZygoteGoneError, ZygoteProcess

ENDINGS = {
    "by a signal": (
        "import os; os.kill(os.getpid(), 9)",
        "was ended by signal 9 (SIGKILL)",
    ),
    "by itself": ("raise SystemExit(3)", "ended with status 3"),
    "after its socket": (
        "import os, time, sys; os.close(int(sys.argv[1])); time.sleep(0.2); os._exit(4)",
        "ended with status 4",
    ),
}


@pytest.mark.parametrize(("code", "expected"), ENDINGS.values(), ids=ENDINGS)
async def test_a_zygote_that_is_gone_says_how_it_ended(code: str, expected: str) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(0)
    command = [sys.executable, "-c", code, str(theirs.fileno())]
    process = subprocess.Popen(command, pass_fds=[theirs.fileno()])  # noqa: ASYNC220 - as ZygoteProcess starts it
    theirs.close()
    zygote = ZygoteProcess(process, ours)
    with pytest.raises(ZygoteGoneError) as caught:
        await zygote._answer()
    assert str(caught.value) == f"the zygote {expected}; its log says why"
    await zygote.stop()


def test_how_a_process_ended() -> None:
    assert how_it_ended(0) == "ended with status 0"
    assert how_it_ended(-15) == "was ended by signal 15 (SIGTERM)"
    assert how_it_ended(-99) == "was ended by signal 99"
