"""A worker and the end of its link."""

import subprocess
import sys

CODE = """
import socket
from collections import deque
from runtime.worker.worker import Worker

worker_end, gateway_end = socket.socketpair()
worker_end.send(b"a frame that the gateway has not read")
gateway_end.close()
worker = Worker.__new__(Worker)
worker._jobs, worker._link = deque(), worker_end
worker._next_job()
"""


def test_a_gateway_that_goes_with_frames_unread_ends_its_worker_quietly() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
