"""A process that is ended by descriptor, so that a reused number can never be hit."""

import contextlib
import os
import signal


class Process:
    """A worker's process. Its parent is the zygote, so it is watched and ended through a pidfd."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor: int | None = None
        with contextlib.suppress(ProcessLookupError):
            self._descriptor = os.pidfd_open(pid)

    def kill(self) -> None:
        """End it now."""
        if self._descriptor is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    def forget(self) -> None:
        """Let go of the descriptor."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def how_it_ended(returncode: int) -> str:
    """A return code of `subprocess` in words, to stand behind the process's name."""
    if returncode >= 0:
        return f"ended with status {returncode}"
    try:
        return f"was ended by signal {-returncode} ({signal.Signals(-returncode).name})"
    except ValueError:
        return f"was ended by signal {-returncode}"
