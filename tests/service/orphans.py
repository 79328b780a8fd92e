"""Kills a supervisor at one moment of its start and prints which processes it left: `python -m tests.service.orphans`.

Arguments: a configuration file and a moment. A process of its own, because orphans are to become its children, the ones
that are forked after the kill included.
"""

import ctypes
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable

import psutil

_PR_SET_CHILD_SUBREAPER = 36
_STARTS_S = 60.0
_ENDS_S = 30.0
_LOOK_S = 0.002


def _family() -> list[psutil.Process]:
    return psutil.Process().children(recursive=True)


def _count(module: str) -> int:
    found = 0
    for process in _family():
        try:
            found += module in process.cmdline()
        except psutil.Error:
            continue
    return found


MOMENTS: dict[str, Callable[[], bool]] = {
    "egress": lambda: _count("egress") >= 1,
    "gateway": lambda: _count("runtime.service.gateway") >= 1,
    "zygote": lambda: _count("runtime.worker.zygote") >= 1,
    "worker": lambda: _count("runtime.worker.zygote") >= 2,
}


def _until(seen: Callable[[], bool], seconds: float) -> bool:
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        if seen():
            return True
        time.sleep(_LOOK_S)
    return False


def _all_gone() -> bool:
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return True
    return False


def main() -> None:
    config, moment = sys.argv[1:]
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    command = [sys.executable, "-m", "runtime.cli", "serve", "--json", "--config", config]
    supervisor = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert supervisor.stdout is not None
    reached = bool(supervisor.stdout.readline()) if moment == "ready" else _until(MOMENTS[moment], _STARTS_S)
    supervisor.kill()
    gone = _until(_all_gone, _ENDS_S)
    left = [] if gone else [" ".join(process.cmdline()[-3:]) for process in _family()]
    for process in _family():
        process.kill()
    sys.stdout.write(json.dumps({"reached": reached, "left": left}))


if __name__ == "__main__":
    main()
