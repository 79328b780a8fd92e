"""What the gateway knows of an execution that pauses: nothing once nobody follows it, all of it if it goes on."""

import asyncio
from typing import Any

from runtime.execution.bounds import Bounds
from runtime.execution.execution import PAUSED, Execution
from runtime.execution.executor import Executor
from runtime.execution.tokens import TokenMint
from tests.execution.test_places import Worker, Workers, program


class Freed(Workers):
    """A pool that takes its workers back."""

    def release(self, *_: Any) -> None:
        """They are all there."""


def executor() -> Executor:
    nobody: Any = None
    pool: Any = Freed()
    return Executor(pool, nobody, nobody, TokenMint(bytes(32)), bounds=Bounds())


def pausing(own: Executor) -> Execution:
    """One whose pause is not recorded yet."""
    execution = own.submit(program("agent"))
    assert isinstance(own._runs[execution.id].link, Worker)
    own._finished(execution, PAUSED, None)
    return execution


async def recorded(execution: Execution) -> None:
    async with asyncio.timeout(10):
        await execution.halted.wait()
    await asyncio.sleep(0)


async def test_nothing_is_known_of_one_that_nobody_follows():
    own = executor()
    await recorded(execution := pausing(own))
    assert execution.state == "paused"
    assert own.registry.of(execution.id) is None


async def test_one_that_is_decided_while_it_pauses_stays_known():
    own = executor()
    execution = pausing(own)
    own.decided(execution.id, 1)
    async with asyncio.timeout(10):
        while execution.attempts < 2:
            await asyncio.sleep(0)
    assert own.registry.of(execution.id) is execution


async def test_one_that_somebody_follows_is_known_until_they_leave():
    own = executor()
    execution = pausing(own)
    execution.watchers = 1
    await recorded(execution)
    assert own.registry.of(execution.id) is execution
    own.pauses.let_go(execution)
    assert own.registry.of(execution.id) is execution
    execution.watchers = 0
    own.pauses.let_go(execution)
    assert own.registry.of(execution.id) is None
