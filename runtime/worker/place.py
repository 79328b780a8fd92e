"""Where a program runs: in a spare that is thrown away, or in the isolate of its session."""

import dataclasses

from runtime.isolate import Outcome, Status
from runtime.isolate.isolate import Isolate
from runtime.worker.frames import Run
from runtime.worker.kept_isolates import Kept, KeptIsolates
from runtime.worker.spares import Spares

_ENDED_BY_ITSELF = frozenset({Status.SUCCEEDED, Status.PROGRAM_ERROR})


class Place:
    """A spare, or two of them if the program has to be run again without its types."""

    lost = False
    """Whether the program cannot run, because the isolate of its session is not there."""

    def __init__(self, spares: Spares) -> None:
        self._spares = spares
        self._taken: list[Isolate] = []

    def take(self) -> Isolate:
        """An isolate to run it in."""
        self._taken.append(self._spares.take())
        return self._taken[-1]

    def kept(self, outcome: Outcome) -> Outcome:
        """The outcome, with what is kept for the next program."""
        return outcome

    def leave(self) -> None:
        """Free what is not kept; after the reply, because it takes a while."""
        for isolate in self._taken:
            isolate.close()


class SessionPlace(Place):
    """The isolate in which the session's earlier programs ran. Nobody else has it meanwhile."""

    def __init__(self, spares: Spares, all_kept: KeptIsolates, run: Run) -> None:
        super().__init__(spares)
        self._all_kept = all_kept
        self._run = run
        self._here = all_kept.take(run.session)
        self._ran = False
        if self._here is not None and (self._here.image, self._here.position) != (run.image, run.position - 1):
            self._here.isolate.close()
            self._here = None
        self.lost = self._here is None and run.position > 1

    def take(self) -> Isolate:
        """That isolate; a spare for the first program."""
        if self._here is None:
            self._here = Kept(self._spares.take(), self._run.image, 0, 0)
        self._ran = True
        return self._here.isolate

    def kept(self, outcome: Outcome) -> Outcome:
        """The isolate is kept if it is sound. A program that did not come to run in it leaves it as it was."""
        here = self._here
        if here is None or not here.isolate.reusable:
            return outcome
        if self._ran:
            if outcome.ending.status not in _ENDED_BY_ITSELF:
                return outcome
            here = here._replace(position=self._run.position, size=outcome.usage.memory_bytes)
        self._here = None
        self._all_kept.keep(self._run.session, here)
        return dataclasses.replace(outcome, kept=here.position)

    def leave(self) -> None:
        """Free the isolate if it was not kept."""
        if self._here is not None:
            self._here.isolate.close()
