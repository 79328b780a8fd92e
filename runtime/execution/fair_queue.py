"""Executions that wait, in turns by tenant: a tenant's thousand do not delay another's first."""

from collections import OrderedDict, deque
from collections.abc import Callable

from runtime.execution.execution import Execution


class FairQueue:
    """First come first served within a tenant, round robin between tenants."""

    def __init__(self) -> None:
        self._by_tenant: OrderedDict[str, deque[Execution]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def waiting(self, tenant: str) -> int:
        """How many of a tenant's wait."""
        return len(self._by_tenant.get(tenant, ()))

    def push(self, execution: Execution) -> None:
        """Add one behind its tenant's others."""
        self._by_tenant.setdefault(execution.program.caller.tenant, deque()).append(execution)
        self._length += 1

    def remove(self, execution: Execution) -> None:
        """Take one out, wherever it stands. Raises ValueError if it is not there."""
        tenant = execution.program.caller.tenant
        queue = self._by_tenant.get(tenant, deque())
        queue.remove(execution)
        self._length -= 1
        if not queue:
            del self._by_tenant[tenant]

    def pop[Place](self, place: Callable[[Execution], Place | None]) -> tuple[Execution, Place] | None:
        """The next for which `place` finds one; its tenant goes to the end of the round. None if there is none."""
        for tenant, queue in self._by_tenant.items():
            found = place(queue[0])
            if found is None:
                continue
            execution = queue.popleft()
            self._length -= 1
            if queue:
                self._by_tenant.move_to_end(tenant)
            else:
                del self._by_tenant[tenant]
            return execution, found
        return None
