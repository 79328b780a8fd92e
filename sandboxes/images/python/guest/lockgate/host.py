"""Host calls: what was asked of the host, and the events that come back."""

from collections.abc import Callable

import wit_world

from lockgate.memory import fit

TOOL = 1
FETCH = 2
FOREVER = (1 << 64) - 1


class DeadlockError(RuntimeError):
    """The program waits for something that will never happen."""


Deliver = Callable[[bool, str], None]


class Calls:
    """The pending host calls of a run, numbered from 1."""

    def __init__(self) -> None:
        self._next = 1
        self._pending: dict[int, Deliver] = {}
        self.dropped = False
        """Whether an earlier program of the session left calls that will not be answered."""

    def __bool__(self) -> bool:
        return bool(self._pending)

    def __len__(self) -> int:
        return len(self._pending)

    def reset(self) -> None:
        """Forget everything: a run begins."""
        self.dropped = bool(self.dropped or self._pending)
        self._next = 1
        self._pending.clear()

    def submit(self, kind: int, name: str, payload: str, deliver: Deliver) -> int:
        """Begin a host call; `deliver(ok, payload)` is called from within a later `wait`."""
        fit(name)
        fit(payload)
        number = self._next
        self._next = number + 1
        self._pending[number] = deliver
        wit_world.submit(number, kind, name, payload)
        return number

    def wait(self, timeout_ns: int) -> bool:
        """Block for one event and hand it on; False when the time was up first."""
        event = wit_world.wait(min(timeout_ns, FOREVER))
        if not event:
            return False
        head, _, payload = event.partition("\n")
        number, _, ok = head.partition(" ")
        deliver = self._pending.pop(int(number), None)
        if deliver is not None:
            deliver(ok == "1", payload)
        return True

    def pending(self, number: int) -> bool:
        """Tell whether a call has no result yet."""
        return number in self._pending


calls = Calls()
