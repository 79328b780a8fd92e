"""Who starts at once and who waits: others' young executions are no reason to keep a tenant waiting."""

from typing import Any

from runtime.execution.bounds import Bounds
from runtime.execution.execution import Execution, Program
from runtime.execution.executor import Executor
from runtime.execution.tokens import TokenMint
from tests.execution.test_fair_queue import execution


class Image:
    """As much of an image as an executor looks at."""

    name = "javascript"
    digest = "0" * 64
    fuel = False


class Worker:
    """A worker's link that takes every program and never reports."""

    def __init__(self) -> None:
        self.walls: dict[str, str] = {}

    def run(self, *_: Any) -> None:
        """It runs, and goes on running."""


class Workers:
    """A pool that has room for everyone."""

    images = (Image(),)
    on_available = None

    def acquire(self, *_: Any) -> Worker:
        return Worker()

    def image_index(self, _: str) -> int:
        return 0


def executor(bounds: Bounds) -> Executor:
    nobody: Any = None
    pool: Any = Workers()
    return Executor(pool, nobody, nobody, TokenMint(bytes(32)), bounds=bounds)


def program(owner: str) -> Program:
    return execution(owner).program


def states(executions: list[Execution]) -> list[str]:
    return [each.state for each in executions]


async def test_a_tenant_of_whom_nothing_runs_starts_beside_anothers_flood():
    own = executor(Bounds(young=2))
    flood = [own.submit(program("flood")) for _ in range(5)]
    assert states(flood) == ["running", "running", "queued", "queued", "queued"]
    assert own.submit(program("quiet")).state == "running"
    assert own.submit(program("quiet")).state == "queued"


async def test_newcomers_are_bounded_too():
    own = executor(Bounds(young=2, newcomers=3))
    many = [own.submit(program(f"owner {number}")) for number in range(8)]
    assert states(many) == ["running"] * 5 + ["queued"] * 3


async def test_nobody_is_a_newcomer_beyond_the_most_that_may_run():
    own = executor(Bounds(young=1, running=2))
    many = [own.submit(program(f"owner {number}")) for number in range(4)]
    assert states(many) == ["running", "running", "queued", "queued"]
