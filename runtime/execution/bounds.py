"""How much a cell takes on at once."""

from dataclasses import dataclass

from runtime.execution.byte_budget import MOST_HELD


class QueueFullError(RuntimeError):
    """No more executions are taken for now."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """How many executions may be under way, and how many may wait, in all and for one tenant.

    At most `young` are in their first 50 ms before any host call, and `newcomers` more that are their tenants' only
    ones: others would only wait in the workers, out of reach of the fair queue. `held_bytes`: of programs, inputs, host
    calls and their answers, logs and results.
    """

    running: int = 512
    queued: int = 2_000
    queued_per_tenant: int = 1_500
    young: int = 6
    newcomers: int = 16
    held_bytes: int = MOST_HELD
