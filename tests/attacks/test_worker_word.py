"""The gateway keeps an execution's limits itself, whatever a worker that was taken over says of it."""

# ruff: noqa: ARG002 (protocols have more parameters than these doubles use)

import asyncio
import json
import time
from typing import Any

import pytest

from runtime.execution.caller import Caller
from runtime.execution.execution import Execution, Failure, Program
from runtime.execution.host_calls import Answer, HostCalls
from runtime.execution.hostcall import CallContext
from runtime.execution.running import RunningExecution
from runtime.execution.window import WINDOW
from runtime.isolate import Ending, LogLine, Outcome, Status, Usage
from runtime.service.convert import execution_message
from runtime.worker import frames
from runtime.worker.frames import Call
from sandboxes.limits import Limits
from sandboxes.profile import Profile
from tests.attacks.fake_worker import FakeWorker, fake_worker

LIMITS = Limits(host_calls=5, log_lines=10, log_bytes=1_000, log_line_bytes=100, result_bytes=100, wall_ms=5_000)
NUMBER = 1
MOST = 2**63 - 1
ENDS_OF_REPLAYS = (Status.DIVERGED, Status.STOPPED, Status.SESSION_LOST)


class NoTools:
    """Tools and fetcher; every call succeeds, with `payload`."""

    def __init__(self, payload: str = "1") -> None:
        self.payload = payload
        self.calls = 0

    def read_only(self, name: str, session: str = "") -> bool:
        return False

    def repeatable(self, name: str, session: str = "") -> bool:
        return False

    def check(self, name: str, context: CallContext) -> None:
        """There is every tool."""

    async def call(self, name: str, arguments: dict[str, Any], context: CallContext) -> Answer:
        self.calls += 1
        return Answer(payload=self.payload)

    async def fetch(self, request: dict[str, Any], context: CallContext, rules: str) -> Answer:
        return Answer(payload="1")


class Run:
    """An execution in a fake worker."""

    def __init__(
        self, worker: FakeWorker, inputs: str = "null", limits: Limits = LIMITS, tools: NoTools | None = None
    ) -> None:
        self.worker = worker
        self.over = asyncio.Event()
        self.execution = Execution(program=_program(inputs, limits), image_digest="sha256:0")
        self.execution.started = time.monotonic()
        context = CallContext(
            execution_id=self.execution.id,
            actor="a",
            environment="dev",
            token=lambda _: "token",
            deadline=self.execution.started + 5,
            max_response_bytes=limits.response_bytes,
        )
        calls = HostCalls(self.execution, context, tools or NoTools(), NoTools())
        RunningExecution(self._finished, self.execution, worker.link, NUMBER, lambda _: calls).begin(0)

    def _finished(self, execution: Execution, status: str, failure: Failure | None) -> None:
        execution.status, execution.failure = status, failure
        self.over.set()

    async def end(self, outcome: Outcome) -> Execution:
        await self.worker.say(frames.encode_done(NUMBER, outcome))
        await self.over.wait()
        return self.execution


def _program(inputs: str, limits: Limits) -> Program:
    profile = Profile(name="p", version=1, languages=("python",), environments=("dev",), limits=limits)
    caller = Caller(principal="p", actor="a", owner="o", environment="dev", reason="r", expires_at=time.time() + 60)
    return Program(
        code="1", language="python", inputs=inputs, profile=profile, limits=limits, limit_sources={}, caller=caller
    )


def outcome(status: Status = Status.SUCCEEDED, *, limit: str = "", value: int = 0, **texts: str) -> Outcome:
    usage = Usage(
        cpu_ns=MOST,
        active_ns=MOST,
        wall_ns=MOST,
        startup_ns=MOST,
        memory_bytes=MOST,
        memory_exact=True,
        host_calls=MOST,
        log_lines=MOST,
    )
    return Outcome(ending=Ending(status, limit, value), usage=usage, **texts)


@pytest.mark.parametrize("status", [status for status in Status if status not in ENDS_OF_REPLAYS])
async def test_every_end_a_worker_can_claim_makes_a_reply(status: Status):
    async with fake_worker() as worker:
        text = "result" if status is Status.SUCCEEDED else "error"
        body = "[" * min(1_000, LIMITS.result_bytes)
        ended = await Run(worker).end(outcome(status, limit="\ud800" * 100, value=MOST, **{text: body}))
        assert ended.status == status
        assert execution_message(ended).SerializeToString()


@pytest.mark.parametrize("status", ENDS_OF_REPLAYS)
async def test_a_worker_that_ends_a_replay_nobody_asked_for_is_ended(status: Status):
    async with fake_worker() as worker:
        ended = await Run(worker).end(outcome(status))
        assert ended.status == "lost"
        assert worker.process.kills == 1


async def test_more_calls_than_allowed_leave_no_record():
    async with fake_worker() as worker:
        run = Run(worker)
        for number in range(200):
            await worker.say(frames.encode_call(NUMBER, Call(number, 1, "x.y", "{}")))
        await run.end(outcome(result="1"))
        assert len(run.execution.calls) <= LIMITS.host_calls


async def test_more_log_lines_than_allowed_are_dropped():
    async with fake_worker() as worker:
        run = Run(worker)
        for first in range(1, 200, 10):
            await worker.say(frames.encode_log(NUMBER, [LogLine(first + n, 2, 3, "x") for n in range(10)]))
        await run.end(outcome(result="1"))
        assert len(run.execution.logs) == LIMITS.log_lines


async def test_more_log_bytes_than_allowed_are_dropped():
    async with fake_worker() as worker:
        run = Run(worker, limits=LIMITS.model_copy(update={"log_lines": 100}))
        for n in range(1, 99):
            await worker.say(frames.encode_log(NUMBER, [LogLine(n, 2, 3, "x" * 500)]))
        await run.end(outcome(result="1"))
        assert sum(len(line.text) for line in run.execution.logs) <= LIMITS.log_bytes
        assert {len(line.text) for line in run.execution.logs} == {LIMITS.log_line_bytes}


async def test_a_longer_result_than_allowed_is_not_kept():
    async with fake_worker() as worker:
        ended = await Run(worker).end(outcome(result="1" * 100_000))
        assert len(ended.result) <= LIMITS.result_bytes


async def test_a_longer_error_than_anybody_reads_is_cut():
    async with fake_worker() as worker:
        error = '{"name": "E", "message": "' + "x" * 1_000_000 + '"}'
        ended = await Run(worker).end(outcome(Status.PROGRAM_ERROR, error=error))
        assert ended.failure is not None
        assert len(ended.failure.message) < 20_000


async def test_what_an_execution_keeps_is_counted():
    async with fake_worker() as worker:
        run = Run(worker, inputs='"' + "x" * 1_000_000 + '"')
        await run.end(outcome(result="1"))
        assert run.execution.size > 1_000_000


async def test_answers_a_program_does_not_take_stop_its_calls():
    """A program that asks for much and spins would fill its worker with what it never looks at."""
    answer = json.dumps("x" * (1 << 20))
    tools = NoTools(answer)
    limits = LIMITS.model_copy(
        update={"host_calls": 100, "parallel_host_calls": 3, "response_bytes": 2 << 20, "wall_ms": 60_000}
    )
    async with fake_worker() as worker:
        run = Run(worker, limits=limits, tools=tools)
        for number in range(100):
            await worker.say(frames.encode_call(NUMBER, Call(number, 1, "x.y", "{}")))
        most = WINDOW // len(answer) + limits.parallel_host_calls
        answered = [await worker.answer() for _ in range(WINDOW // len(answer))]
        async with asyncio.timeout(60):
            while len(run.execution.calls) < 100:
                await asyncio.sleep(0)
        assert tools.calls <= most
        await worker.say(frames.encode_taken(NUMBER, len(answered) * len(answer)))
        answered += [await worker.answer() for _ in range(WINDOW // len(answer))]
        assert len(answered) <= tools.calls <= 2 * most
        await run.end(outcome(result="1"))
