"""Runs programs one after the other in one isolate, each recorded or replayed as `recorded` does it."""

from collections.abc import Iterator
from contextlib import contextmanager

from runtime.isolate import Guest, Outcome
from runtime.isolate.isolate import Isolate
from tests.runtime.recorded import Runner


class SessionRunner(Runner):
    """One session: `record` and `replay` run its next program."""

    def __init__(self, runner: Runner) -> None:
        super().__init__(runner._image, runner._ticker, runner._pool)
        self.isolate = self._pool.submit(self._made).result()
        self.position = 0

    def _made(self) -> Isolate:
        isolate = self._image.isolate()
        isolate.warm()
        return isolate

    def _run(self, guest: Guest, program: str) -> Outcome:
        self.position += 1
        with self._ticker:
            guest.begin()
            outcome = guest.checked(self.isolate.run(guest, program, "null", self.position))
            guest.finish()
        return outcome


@contextmanager
def session(runner: Runner) -> Iterator[SessionRunner]:
    """A session in a fresh isolate, closed at the end."""
    runs = SessionRunner(runner)
    try:
        yield runs
    finally:
        runs.isolate.close()
