"""What the gateway holds for executions under way is bounded in bytes: beyond it, refused before acceptance."""

import asyncio
import time
from typing import Any

import grpc
import pytest

from runtime.execution.bounds import Bounds
from runtime.execution.byte_budget import ByteBudget, Hold, current_hold
from runtime.execution.execution import Execution
from runtime.execution.executor import Executor
from runtime.execution.host_calls import TOOL, Answer, HostCalls
from runtime.execution.hostcall import CallContext, HostCallError
from runtime.execution.tokens import TokenMint
from runtime.service.errors import ApiError
from runtime.service.runtime_servicer import RuntimeServicer
from runtime.worker.frames import Call
from sandboxes.limits import Limits
from sandboxes.profile import Profile
from tests.execution.test_fair_queue import execution
from tests.service.programs import request

PROFILE = Profile(
    name="tests", version=1, languages=("javascript",), environments=("dev",), limits=Limits(inputs_bytes=1 << 20)
)


class Image:
    """As much of an image as an executor looks at."""

    name = "javascript"
    digest = "0" * 64
    fuel = False


class NoWorkers:
    """A pool in which every execution waits."""

    images = (Image(),)
    on_available = None

    def acquire(self, *_: Any) -> None:
        return None


class Ready:
    """Engines and walls are as they should be."""

    def check(self, _: Profile) -> None:
        """Nothing to refuse."""


def executor(most: int) -> Executor:
    tools: Any = None
    pool: Any = NoWorkers()
    return Executor(pool, tools, tools, TokenMint(bytes(32)), bounds=Bounds(held_bytes=most))


async def test_queued_programs_and_inputs_are_refused_beyond_the_budget_and_taken_again_below_it():
    own = executor(2_500_000)
    ready: Any = Ready()
    servicer = RuntimeServicer(own, {"tests": PROFILE}, ready)
    wanted = request("1", inputs="x" * 1_000_000)
    first, _ = await servicer._begin(wanted, "local")
    await servicer._begin(wanted, "local")
    with pytest.raises(ApiError) as refused:
        await servicer._begin(wanted, "local")
    assert refused.value.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.retry_after_s
    assert "held_bytes 2500000" in refused.value.message
    assert len(own.registry.running()) == 2
    own.cancel(first, "enough")
    await servicer._begin(wanted, "local")


class Tools:
    """A tool that reads an answer of 1,000 bytes in ten parts, as the way out does."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = asyncio.Event()

    def read_only(self, _: str, session: str = "") -> bool:  # noqa: ARG002 - as Tools has it
        return False

    def repeatable(self, _: str, session: str = "") -> bool:  # noqa: ARG002 - as Tools has it
        return False

    def check(self, name: str, context: CallContext) -> None:
        """There is every tool."""

    async def call(self, _name: str, _arguments: dict[str, Any], _context: CallContext) -> Answer:
        self.calls += 1
        hold = current_hold.get()
        assert hold is not None
        for _ in range(10):
            hold.take_for_call(100, sent=True)
        await self.go.wait()
        return Answer(payload="1")

    async def fetch(self, *_: Any) -> Answer:
        raise NotImplementedError


def host_calls(tools: Tools, budget: ByteBudget) -> tuple[HostCalls, Execution]:
    context = CallContext(
        execution_id="exe_0",
        actor="a",
        environment="dev",
        token=lambda _: "token",
        deadline=time.monotonic() + 60,
        max_response_bytes=1_000,
    )
    made = execution("owner")
    return HostCalls(made, context, tools, tools, budget), made


async def test_host_calls_share_the_budget_over_all_executions():
    budget, tools = ByteBudget(2_500), Tools()
    calls = [host_calls(tools, budget)[0] for _ in range(4)]
    tasks = [asyncio.create_task(each.perform(Call(1, TOOL, "x.y", '{"a": 1}'))) for each in calls]
    while sum(task.done() for task in tasks) < 2:
        await asyncio.sleep(0)
    assert budget.held <= budget.most
    tools.go.set()
    answers = await asyncio.gather(*tasks)
    assert [ok for ok, _ in answers] == [True, True, False, False]
    assert all('"held_bytes"' in payload and '"unavailable"' in payload for ok, payload in answers if not ok)
    assert budget.held == 0


async def test_arguments_that_find_no_room_are_never_sent():
    budget, tools = ByteBudget(100), Tools()
    calls, made = host_calls(tools, budget)
    ok, payload = await calls.perform(Call(1, TOOL, "x.y", '{"a": "' + "x" * 200 + '"}'))
    assert not ok
    assert "nothing was sent" in payload
    assert '"retryable": true' in payload
    assert tools.calls == 0
    assert not made.side_effects_possible()


async def test_a_cancelled_call_gives_back_what_it_held():
    budget, tools = ByteBudget(2_000), Tools()
    calls, _ = host_calls(tools, budget)
    task = asyncio.create_task(calls.perform(Call(1, TOOL, "x.y", "{}")))
    while not tools.calls:
        await asyncio.sleep(0)
    assert budget.held > 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert budget.held == 0


def test_what_is_added_leaves_less_for_others():
    budget = ByteBudget(10)
    logs, other = Hold(budget), Hold(budget)
    logs.add(15)
    assert not other.take(1)
    with pytest.raises(HostCallError, match="as many bytes"):
        other.take_for_call(1, sent=False)
    logs.release()
    assert other.take(10)
