"""Tries the lock-down on this machine and prints the report: `python -I -m runtime.worker.wall_probe`, for `doctor`."""

import json
import os
import socket
import subprocess
import sys

from runtime.worker.lockdown import Walls, lock_down, lock_down_zygote

_TIMEOUT_S = 20.0
_MOST_REPORT = 1 << 16


def probe_walls() -> Walls:
    """The report of a worker that a service started here would have. Raises OSError if none can be had."""
    command = [sys.executable, "-I", "-m", "runtime.worker.wall_probe"]
    try:
        done = subprocess.run(  # noqa: S603 - our own module
            command, env={}, stdin=subprocess.DEVNULL, capture_output=True, check=True, timeout=_TIMEOUT_S
        )
        report: Walls = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise OSError(None, f"the lock-down could not be tried: {error}") from error
    return report


def main() -> None:
    """Fork as the zygote does, lock the child down, pass on what it says."""
    ours, theirs = socket.socketpair()
    lock_down_zygote()
    child = os.fork()
    if child == 0:
        ours.close()
        theirs.send(json.dumps(lock_down([theirs.fileno()])).encode())
        os._exit(0)
    theirs.close()
    sys.stdout.write(ours.recv(_MOST_REPORT).decode())
    os.waitpid(child, 0)


if __name__ == "__main__":
    main()
