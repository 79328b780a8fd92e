"""An execution on its way to rows in the store, where it waits for somebody's decision."""

from dataclasses import dataclass

from runtime.execution.execution import PAUSED, Execution


@dataclass(kw_only=False, slots=True)
class Pause:
    """One that is being paused; what is said of it meanwhile is done once it is."""

    execution: Execution
    decided: bool = False
    cancelled: str = ""

    @property
    def due_ns(self) -> int:
        """When its program wakes by itself: it waits for a timer, too. 0 if it does not."""
        journal = self.execution.journal
        return 0 if journal is None else journal.due_ns

    async def record(self) -> None:
        """Make it durable, then tell those who follow. Raises StoreError other than that the store is unavailable."""
        execution = self.execution
        execution.status = PAUSED
        if execution.journal is not None:
            execution.journal.changed()
            await execution.journal.write_surely()
        execution.state = "paused"
        execution.hold.release()
        execution.happened("paused")
        execution.halted.set()
