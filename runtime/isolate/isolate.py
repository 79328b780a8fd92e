"""What an image offers: isolates to prepare ahead of need, and one run in each."""

import threading
import time
from typing import Any, Protocol

from runtime.isolate.channel import LogLine
from runtime.isolate.guest import MOST_ERROR_BYTES, Guest, GuestLimits, fits, own_error
from runtime.isolate.outcome import Ending, Outcome, Status, Usage
from runtime.isolate.slots import RunSlots
from runtime.isolate.trace import Trace
from sandboxes.bounded_json import JsonBoundError, loads


class Isolate(Protocol):
    """One Wasmtime instance. Used for one program, or for those of one session, one after the other."""

    reusable: bool
    """Whether the next program of the session may run in it: nothing trapped in it, and no limit ended anything."""

    def warm(self) -> None:
        """Run a neutral program ahead of need, so that the real one finds its pages mapped."""

    def run(self, guest: Guest, program: str, inputs: str, position: int = 0) -> Outcome:
        """Run a program to its end, on the calling thread; `inputs` is JSON.

        `position` counts the programs of a session from 1, each with a guest of its own; 0 is the only program.
        """

    def close(self) -> None:
        """Free what the instance holds; after the reply, because it takes a while."""


class Current(threading.local):
    """What runs on this thread; host functions find it here."""

    guest: Guest
    isolate: Any


class Nowhere:
    """The channel of a guest nobody listens to, such as a warming run."""

    def submit(self, call_id: int, kind: int, name: str, payload: str) -> None:
        """Drop it."""

    def log(self, lines: list[LogLine]) -> None:
        """Drop them."""

    def taken(self, size: int) -> None:
        """Nothing was sent."""

    def trace(self, trace: Trace) -> None:
        """Nobody records it."""

    def live(self) -> None:
        """Nothing is replayed."""

    def blocked(self) -> None:
        """Nobody asked."""


_WARM_MS = 5_000
WARM_FUEL = 1 << 60
"""More than instantiating and warming can use."""
REHEARSAL_LIMITS = GuestLimits(
    cpu_ms=_WARM_MS,
    active_ms=_WARM_MS,
    wall_ms=_WARM_MS,
    memory_bytes=64 << 20,
    log_lines=0,
    log_bytes=0,
    log_line_bytes=64,
    result_bytes=64,
    host_calls=0,
    call_bytes=64,
    fuel=WARM_FUEL,
)


def warming_guest() -> Guest:
    """A guest for a neutral program, with a run slot of its own, already begun."""
    guest = Guest(
        limits=REHEARSAL_LIMITS,
        seed=bytes(32),
        start_ns=0,
        channel=Nowhere(),
        slots=RunSlots(1),
        received=time.monotonic(),
    )
    guest.begin()
    return guest


def is_reusable(guest: Guest, outcome: Outcome, *, trapped: bool) -> bool:
    """Whether what a program left behind is sound: it ended by itself, and not at a limit."""
    ended_by_itself = outcome.ending.status in {Status.SUCCEEDED, Status.PROGRAM_ERROR}
    return ended_by_itself and not trapped and guest.ending is None


def settle(
    guest: Guest, *, trapped: bool, stack_overflow: bool = False, memory_bytes: int = 0, memory_exact: bool = False
) -> Outcome:
    """The outcome from the host's record first, and only then from what the guest said."""
    cpu_ns = guest.cpu_ns()
    active_ns, wall_ns = guest.clocks_ns()
    usage = Usage(
        cpu_ns=cpu_ns,
        active_ns=active_ns,
        wall_ns=wall_ns,
        startup_ns=int((guest.started - guest.began) * 1e9),
        memory_bytes=memory_bytes,
        memory_exact=memory_exact,
        host_calls=guest.host_calls,
        log_lines=guest.log_count,
        fuel=0 if guest.fuel_left is None else guest.limits.fuel - guest.fuel_left,
    )
    if trapped and guest.fuel_left == 0:
        guest.end(Status.LIMIT_FUEL, "fuel", guest.limits.fuel)
    ending = guest.ending or _ending(guest, trapped, stack_overflow, memory_bytes)
    ok, text = (False, guest.report) if guest.report else guest.answer or (False, "")
    if ending.status is Status.SUCCEEDED:
        return Outcome(ending=ending, result=text, usage=usage)
    if not text and guest.reached:
        text = own_error("InterpreterEnded", f"the program ended its interpreter, which reached for {guest.reached}")
    elif not fits(text, MOST_ERROR_BYTES):
        text = own_error("Error", "the program's error is too large to be passed on")
    return Outcome(ending=ending, error="" if ok else text, usage=usage)


MOST_RESULT_VALUES = 1_000_000
MOST_RESULT_DEPTH = 5_000
"""Of a result that is decoded to see that it is JSON; nothing walks it."""
_PAGES_SHORT_OF_LIMIT = 4 << 20
# How Rust's runtime inside a component begins when an allocation failed.
_OUT_OF_MEMORY = "memory allocation of "


def _ending(guest: Guest, trapped: bool, stack_overflow: bool, memory_bytes: int) -> Ending:  # noqa: FBT001
    limits = guest.limits
    if stack_overflow:
        return Ending(Status.LIMIT_STACK, "stack")
    if trapped or guest.answer is None:
        short = memory_bytes and memory_bytes + _PAGES_SHORT_OF_LIMIT > limits.memory_bytes
        if short or _OUT_OF_MEMORY in guest.reached or (guest.answer and _claimed_limit(guest.answer[1]) == "memory"):
            return Ending(Status.LIMIT_MEMORY, "memory_bytes", limits.memory_bytes)
        return Ending(Status.PROGRAM_ERROR if guest.reached else Status.TRAPPED)
    ok, text = guest.answer
    if ok and fits(text, limits.result_bytes):
        return Ending(Status.SUCCEEDED)
    claimed = None if ok else _claimed_limit(text)
    if ok or claimed == "result":
        return Ending(Status.LIMIT_RESULT, "result_bytes", limits.result_bytes)
    if claimed == "memory":
        return Ending(Status.LIMIT_MEMORY, "memory_bytes", limits.memory_bytes)
    if claimed == "stack":
        return Ending(Status.LIMIT_STACK, "stack")
    return Ending(Status.PROGRAM_ERROR)


def _claimed_limit(text: str) -> str | None:
    """The limit a guest names in its error: it alone knows of memory or stack it asked for in vain."""
    try:
        error = loads(text)
    except ValueError:
        return None
    limit = error.get("limit") if isinstance(error, dict) else None
    return limit if isinstance(limit, str) else None


def checked_answer(ok: bool, text: str, limits: GuestLimits) -> tuple[bool, str]:  # noqa: FBT001 - the guest's flag
    """The answer of a guest whose program can reach the code that makes it: what is no JSON is no result."""
    if not ok or len(text) > limits.result_bytes:
        return ok, text
    try:
        loads(text, most_values=MOST_RESULT_VALUES, most_depth=MOST_RESULT_DEPTH, parse_constant=_refuse_constant)
    except JsonBoundError as error:
        return False, own_error("ResultError", f"the result is {error}")
    except ValueError:
        return False, own_error("NotJson", "the program broke its interpreter: what it returned is not JSON")
    return True, text


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
