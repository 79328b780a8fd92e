"""From `lockgate serve` to the first execution's reply, images compiled: a process as a user starts it.

A round starts the service N times, in a state directory of its own each, and ends it again.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

from bench.caller import Caller
from bench.cell import bench_request, scratch_state
from bench.result import Chart, Round
from bench.run import counted, finish, options, parse
from sandboxes.state import StateDirectory

ENDPOINTS = "listen: {grpc: '127.0.0.1:0', mcp: '127.0.0.1:0'}\n"
KINDS = ("ready", "first_execution")


def once() -> Iterator[float]:
    """Seconds from the process's start until it says that it is ready, and until the first reply."""
    with scratch_state() as state:
        begun = time.perf_counter()
        with served(state) as process:
            assert process.stdout is not None
            line = process.stdout.readline()
            yield time.perf_counter() - begun
            with Caller(json.loads(line)["grpc"], state.token().get_secret_value()) as caller:
                caller.timed(bench_request("1 + 1", "javascript"))
            yield time.perf_counter() - begun
            process.send_signal(signal.SIGTERM)


def served(state: StateDirectory) -> "subprocess.Popen[str]":
    config = state.path.parent / "lockgate.yaml"
    config.write_text(ENDPOINTS)
    command = [sys.executable, "-m", "runtime.cli", "serve", "--json", "--config", str(config)]
    return subprocess.Popen(
        command,
        env={**os.environ, "LOCKGATE_HOME": str(state.path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def one_round(count: int) -> Round:
    found = [list(once()) for _ in range(count)]
    measured = Round()
    for number, kind in enumerate(KINDS):
        measured.sample(f"serve_to_{kind}_s", [times[number] for times in found])
    return measured


CHARTS = [
    Chart(
        kind="distribution",
        title="From `lockgate serve` to readiness and to the first reply",
        names=[f"serve_to_{kind}_s" for kind in KINDS],
        unit="s",
    )
]


def main() -> None:
    arguments = parse(options(__doc__, rounds=3, n=5, n_means="starts in a round"))
    list(once())  # compiles the images where they are not yet
    finish("serve", arguments, [one_round(arguments.n) for _ in counted("serve", arguments.rounds)], CHARTS)


if __name__ == "__main__":
    main()
