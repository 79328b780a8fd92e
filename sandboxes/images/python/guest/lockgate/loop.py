"""One event loop for the whole isolate, turning on the host's `wait`. It may be entered again from within itself."""

import asyncio
import errno
import heapq
from asyncio import base_events, coroutines, events, futures, tasks
from collections.abc import Awaitable, Callable
from typing import Any

from lockgate.host import FOREVER, DeadlockError, calls
from lockgate.output import ERROR, emit

# A program that only spins (`while not done: await sleep(0)`) still has to see events now and then.
_TURNS_BETWEEN_POLLS = 100
_DEADLOCK = "the program waits for something that will never happen: no host call is pending and no timer is set"
_DROPPED = "; the calls that an earlier program of the session had not awaited were dropped when it ended"


class Loop(base_events.BaseEventLoop):
    """asyncio's loop with the host's events in place of a selector, and no threads."""

    def __init__(self) -> None:
        super().__init__()
        self._clock_resolution = 1e-9
        self._turns = 0

    def reset(self) -> None:
        """Forget every timer and callback: a run begins."""
        self._ready.clear()
        self._scheduled.clear()
        self._timer_cancelled_count = 0
        self._turns = 0
        self._stopping = False
        self._asyncgens.clear()
        self._exception_handler = None
        self._task_factory = None

    # Running.

    def run_until_complete(self, future: Awaitable[Any]) -> Any:
        """Run until a future or coroutine is done and return its result, also from within the running loop."""
        future = tasks.ensure_future(future, loop=self)
        future.add_done_callback(_retrieved)
        self._drive(future.done)
        return future.result()

    def run_main(self, main: Awaitable[Any]) -> Any:
        """Run the program itself; its task has a name of its own and uses up no number."""
        if coroutines.iscoroutine(main):
            main = self.create_task(main, name="main")
        return self.run_until_complete(main)

    def run_forever(self) -> None:
        """Run until `stop()`."""
        self._stopping = False
        self._drive(lambda: self._stopping)
        self._stopping = False

    def close(self) -> None:
        """Nothing: there is one loop, and it stays."""

    def is_running(self) -> bool:
        """Tell whether the program is inside the loop now."""
        return events._get_running_loop() is self  # noqa: SLF001

    def drop_tasks(self) -> None:
        """Let go of tasks that are left: nothing will run them, and nothing is said when they are collected."""
        for task in _all_tasks(self):
            if not task.done():
                task._log_destroy_pending = False  # noqa: SLF001
                _unregister_task(task)

    def _drive(self, done: Callable[[], bool]) -> None:
        # Entered again from within a task: that task steps aside, for asyncio knows only one at a time.
        outer_loop = events._get_running_loop()  # noqa: SLF001
        events._set_running_loop(self)  # noqa: SLF001
        outer_task = tasks._swap_current_task(self, None)  # noqa: SLF001
        try:
            while not done():
                self._turn()
        finally:
            tasks._swap_current_task(self, outer_task)  # noqa: SLF001
            events._set_running_loop(outer_loop)  # noqa: SLF001

    def _turn(self) -> None:
        ready = self._ready
        self._drop_cancelled_timers()
        if not ready:
            self._wait()
        elif self._turns >= _TURNS_BETWEEN_POLLS and (calls or self._scheduled):
            self._turns = 0
            calls.wait(0)
            self._release_timers(self.time())
        self._turns += 1
        for _ in range(len(ready)):
            if not ready:
                return
            handle = ready.popleft()
            if not handle._cancelled:  # noqa: SLF001
                handle._run()  # noqa: SLF001

    def _wait(self) -> None:
        self._turns = 0
        if not self._scheduled:
            if not calls:
                raise DeadlockError(_DEADLOCK + (_DROPPED if calls.dropped else ""))
            calls.wait(FOREVER)
            return
        due, now = self._scheduled[0]._when, self.time()  # noqa: SLF001
        # When the time is up this timer is due, whatever the clock's rounding.
        early = due > now and calls.wait(_nanoseconds(due - now))
        self._release_timers(self.time() if early else max(due, now))

    def _release_timers(self, now: float) -> None:
        while self._scheduled and self._scheduled[0]._when <= now:  # noqa: SLF001
            handle = heapq.heappop(self._scheduled)
            handle._scheduled = False  # noqa: SLF001
            self._ready.append(handle)

    def _drop_cancelled_timers(self) -> None:
        scheduled = self._scheduled
        while scheduled and scheduled[0]._cancelled:  # noqa: SLF001
            self._timer_cancelled_count -= 1
            heapq.heappop(scheduled)._scheduled = False  # noqa: SLF001

    # What asyncio would do with threads and file descriptors.

    def create_task(self, coro: Any, **options: Any) -> tasks.Task:
        """Make a task of any awaitable: a call of a tool counts as one."""
        if not coroutines.iscoroutine(coro) and hasattr(coro, "__await__"):
            coro = _awaiting(coro)
        return super().create_task(coro, **options)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> futures.Future:  # noqa: ARG002
        """Run the function here and now: there are no threads."""
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except StopIteration as error:
            future.set_exception(RuntimeError(f"the function raised {error!r}"))
        except Exception as error:  # noqa: BLE001 (it belongs to whoever awaits)
            future.set_exception(error)
        return future

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any, context: Any = None) -> events.Handle:
        """The same as call_soon: there are no threads."""
        return self.call_soon(callback, *args, context=context)

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Nothing to shut down."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log one line about what nobody handled."""
        error = context.get("exception")
        told = f": {type(error).__name__}: {error}" if error is not None else ""
        emit(ERROR, f"{context.get('message', 'unhandled error in the event loop')}{told}")

    async def subprocess_exec(self, *_arguments: Any, **_options: Any) -> Any:
        """Refuse."""
        raise OSError(errno.ENOSYS, "there are no processes in this sandbox")

    subprocess_shell = subprocess_exec

    def _process_events(self, event_list: Any) -> None:
        """Nothing: `calls.wait` has delivered already."""

    def _write_to_self(self) -> None:
        """Nothing to wake."""


def _nanoseconds(seconds: float) -> int:
    if seconds >= FOREVER / 1e9:
        return FOREVER
    return int(seconds * 1e9) + 1


def _retrieved(future: futures.Future) -> None:
    if not future.cancelled():
        future.exception()


async def _awaiting(awaitable: Awaitable[Any]) -> Any:
    return await awaitable


_all_tasks, _unregister_task = tasks.all_tasks, tasks._unregister_task  # noqa: SLF001

loop = Loop()


def run(main: Awaitable[Any], *, debug: bool | None = None, loop_factory: Any = None) -> Any:  # noqa: ARG001
    """`asyncio.run`, which here may also be called from within a running program."""
    if not coroutines.iscoroutine(main) and not hasattr(main, "__await__"):
        raise TypeError(f"an awaitable is required, got {type(main).__name__}: call the async function, run(main())")
    nested = loop.is_running()
    try:
        return loop.run_until_complete(main)
    finally:
        if not nested:
            finish()


def finish() -> None:
    """Cancel the tasks that are left and let them end, as `asyncio.run` does."""
    left = [task for task in asyncio.all_tasks(loop) if not task.done()]
    for task in left:
        task.cancel()
    if left:
        loop._drive(lambda: all(task.done() for task in left))  # noqa: SLF001
    if loop._asyncgens:  # noqa: SLF001
        loop.run_until_complete(loop.shutdown_asyncgens())


class Runner(asyncio.Runner):
    """`asyncio.Runner` on the one loop."""

    def __init__(self, *, debug: bool | None = None, loop_factory: Any = None) -> None:  # noqa: ARG002
        super().__init__(debug=debug, loop_factory=lambda: loop)

    def run(self, coro: Awaitable[Any], *, context: Any = None) -> Any:  # noqa: ARG002
        """Run a coroutine on the one loop."""
        return loop.run_until_complete(coro)

    def close(self) -> None:
        """Cancel what is left, unless the program goes on around it."""
        if not loop.is_running():
            finish()


def _the_loop() -> Loop:
    return loop


def install() -> None:
    """Put the loop behind asyncio's doors; once, before the snapshot."""
    for module in (asyncio, asyncio.runners):
        module.run = run
        module.Runner = Runner
    for module in (asyncio, events):
        module.new_event_loop = _the_loop
        module.get_event_loop = _the_loop
        module.set_event_loop = lambda new: None  # noqa: ARG005
