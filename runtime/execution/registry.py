"""The executions this gateway knows: running ones, and as many ended ones as fit."""

from collections import OrderedDict
from collections.abc import Iterator

from runtime.execution.execution import Execution
from sandboxes.kept import KeptExecutions


class Registry:
    """Executions by id; the oldest ended are forgotten when the bounds are reached."""

    def __init__(self, bounds: KeptExecutions | None = None) -> None:
        self._all: OrderedDict[str, Execution] = OrderedDict()
        self._by_key: dict[tuple[str, str], Execution] = {}
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0
        self._bounds = bounds or KeptExecutions()

    def add(self, execution: Execution) -> None:
        """Remember a new one."""
        self._all[execution.id] = execution
        if key := _key(execution):
            self._by_key[key] = execution

    def get(self, execution_id: str, principal: str) -> Execution | None:
        """One by id, if it is this principal's; somebody else's is as good as none."""
        execution = self._all.get(execution_id)
        return execution if execution is not None and execution.program.caller.principal == principal else None

    def of(self, execution_id: str) -> Execution | None:
        """One by id, whoever's it is."""
        return self._all.get(execution_id)

    def forget(self, execution: Execution) -> None:
        """No longer know one."""
        self._all.pop(execution.id, None)
        self._bytes -= self._ended.pop(execution.id, 0)
        if (key := _key(execution)) and self._by_key.get(key) is execution:
            del self._by_key[key]

    def by_key(self, principal: str, key: str) -> Execution | None:
        """The execution an idempotency key stands for."""
        return self._by_key.get((principal, key))

    def newest_first(self, principal: str) -> Iterator[Execution]:
        """All of one principal's."""
        newest = sorted(self._all.values(), key=lambda execution: execution.id, reverse=True)
        return (execution for execution in newest if execution.program.caller.principal == principal)

    def running(self) -> list[Execution]:
        """All that have not ended."""
        return [each for each in self._all.values() if each.id not in self._ended and each.state != "paused"]

    def note_ended(self, execution: Execution) -> None:
        """Count one as ended, and forget the oldest beyond the bounds."""
        self._ended[execution.id] = size = execution.size
        self._bytes += size
        while self._ended and (len(self._ended) > self._bounds.count or self._bytes > self._bounds.bytes):
            oldest, freed = self._ended.popitem(last=False)
            self._bytes -= freed
            forgotten = self._all.pop(oldest)
            if key := _key(forgotten):
                self._by_key.pop(key, None)


def _key(execution: Execution) -> tuple[str, str] | None:
    program = execution.program
    return (program.caller.principal, program.idempotency_key) if program.idempotency_key else None
