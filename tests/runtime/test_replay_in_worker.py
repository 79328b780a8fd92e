"""Records and replays through real workers: paused, dropped, killed, and taken up by another process."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from runtime.isolate import (
    GuestLimits,
    LogLine,
    Outcome,
    Replay,
    ReplayedCall,
    ReplayMode,
    Status,
    Trace,
    payload_digest,
)
from runtime.isolate.compiled import compiled_image
from runtime.isolate.erasure import Types
from runtime.isolate.shipped import wasm_path
from runtime.isolate.trace import decode
from runtime.worker.frames import Call, Run
from runtime.worker.link import Link
from runtime.worker.pool import PoolSettings, WorkerPool
from tests.cell import IMAGES

JAVASCRIPT, PYTHON = 0, 1
LIMITS = GuestLimits(
    cpu_ms=5_000,
    active_ms=10_000,
    wall_ms=30_000,
    memory_bytes=96 << 20,
    log_lines=100,
    log_bytes=1 << 16,
    log_line_bytes=1 << 12,
    result_bytes=1 << 20,
    host_calls=3_000,
    call_bytes=1 << 16,
)
CALLS = {
    JAVASCRIPT: "const a = await codemode.t.read({n: 1}); console.log('read', a.call);"
    "const [b, c] = await Promise.all([codemode.t.write({n: 2}), codemode.t.read({n: 3})]);"
    "console.log('wrote', Math.random(), Date.now()); return [a.call, b.call, c.call, Math.random(), Date.now()]",
    PYTHON: "import asyncio, random, time\na = await codemode.t.read(n=1)\nprint('read', a['call'])\n"
    "b, c = await asyncio.gather(codemode.t.write(n=2), codemode.t.read(n=3))\n"
    "print('wrote', random.random(), time.time_ns())\n"
    "[a['call'], b['call'], c['call'], random.random(), time.time_ns(), id(object())]",
}


def answer(call: Call) -> str:
    return json.dumps({"call": call.call_id})


class Execution:
    """A listener that keeps a record, answers the calls `answered` says, and tells what happened as it does."""

    def __init__(
        self, link: Link, run: Run, number: int = 1, answered: Callable[[Call], bool] = lambda _: True
    ) -> None:
        self.link, self.run, self.number = link, run, number
        self.said: list[object] = []
        self.answers: dict[int, str] = {}
        self.blocked = asyncio.Event()
        self.called = asyncio.Event()
        self.ended: asyncio.Future[Outcome | str] = asyncio.get_running_loop().create_future()
        self._answered = answered
        link.run(number, run, self)

    def on_trace(self, trace: Trace) -> None:
        self.said.append(trace)

    def on_log(self, lines: list[LogLine]) -> None:
        self.said += lines

    def on_call(self, call: Call) -> None:
        self.said.append(call)
        self.called.set()
        if self._answered(call):
            self.answer(call)

    def answer(self, call: Call) -> None:
        self.answers[call.call_id] = answer(call)
        self.link.result(self.number, call.call_id, ok=True, payload=self.answers[call.call_id])

    def on_taken(self, size: int) -> None:
        self.said.append(size)

    def on_live(self) -> None:
        self.said.append("live")

    def on_blocked(self) -> None:
        self.said.append("blocked")
        self.blocked.set()

    def on_done(self, outcome: Outcome) -> None:
        self.ended.set_result(outcome)

    def on_lost(self, reason: str) -> None:
        self.ended.set_result(reason)

    async def outcome(self) -> Outcome:
        outcome = await asyncio.wait_for(self.ended, 30)
        assert isinstance(outcome, Outcome), outcome
        return outcome

    @property
    def calls(self) -> list[Call]:
        return [each for each in self.said if isinstance(each, Call)]

    @property
    def lines(self) -> list[tuple[int, str]]:
        return [(each.number, each.text) for each in self.said if isinstance(each, LogLine)]

    @property
    def trace(self) -> bytes:
        return b"".join(each.data for each in self.said if isinstance(each, Trace))


def record(*executions: Execution, mode: ReplayMode = ReplayMode.VERIFY, until: int = 0) -> Replay:
    """What a journal has of an execution that ran in several workers, one after the other."""
    answers = {number: text for each in executions for number, text in each.answers.items()}
    calls = [
        ReplayedCall(
            call.call_id,
            call.kind,
            call.name,
            payload_digest(call.payload),
            call.call_id in answers,
            call.call_id in answers,
            answers.get(call.call_id, ""),
        )
        for each in executions
        for call in each.calls
    ]
    trace = b"".join(each.trace for each in executions)
    lines = sum(len(each.lines) for each in executions)
    return Replay(mode=mode, calls=tuple(calls), trace=trace, log_lines=lines, until=until)


@pytest.fixture
async def pool():
    images = [await compiled_image(name, wasm_path(name), IMAGES) for name in ("javascript", "python")]
    eraser = await compiled_image("typescript", wasm_path("typescript"), IMAGES)
    pool = WorkerPool(images, eraser, PoolSettings(workers=1, standby=1, most_standby=2, most_workers=6))
    await pool.start()
    yield pool
    await pool.close()
    await asyncio.sleep(0)  # transports are closed in the loop's next turn


async def fresh(pool: WorkerPool) -> Link:
    """A worker nobody else is in."""
    available = asyncio.Event()
    pool.on_available = available.set
    async with asyncio.timeout(30):
        while (link := pool.acquire("dedicated", "")) is None:
            await available.wait()
            available.clear()
    return link


def program(language: int, code: str | None = None, **more: object) -> Run:
    run = Run(
        image=language,
        seed=bytes(range(32)),
        start_ns=time.time_ns(),
        limits=LIMITS,
        program=CALLS[language] if code is None else code,
        inputs="null",
    )
    return replace(run, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("language", CALLS)
async def test_a_paused_program_goes_on_in_another_worker(pool: WorkerPool, language: int) -> None:
    run = program(language)
    first = Execution(await fresh(pool), run, answered=lambda call: call.name != "t.write")
    await asyncio.wait_for(first.called.wait(), 30)
    first.link.pause(1)
    await asyncio.wait_for(first.blocked.wait(), 30)
    while len(first.calls) < 3:  # blocked already before the second and third were made
        first.blocked.clear()
        await asyncio.wait_for(first.blocked.wait(), 30)
    first.link.cancel(1)
    assert (await first.outcome()).ending.status is Status.CANCELLED
    assert first.said[-1] == "blocked"
    assert isinstance(first.said[-2], Trace)

    second = Execution(await fresh(pool), replace(run, replay=record(first, mode=ReplayMode.RESUME)))
    (undone,) = [call for call in first.calls if call.name == "t.write"]
    second.answer(undone)
    outcome = await second.outcome()
    assert outcome.ending.status is Status.SUCCEEDED, outcome
    assert json.loads(outcome.result)[:3] == [1, 2, 3]
    assert second.calls == []
    assert [number for number, _ in first.lines + second.lines] == [1, 2]

    third = Execution(await fresh(pool), replace(run, replay=record(first, second)))
    verified = await third.outcome()
    assert (verified.ending, verified.result) == (outcome.ending, outcome.result)
    assert third.lines == first.lines + second.lines
    assert third.trace == first.trace + second.trace
    assert third.calls == []


@pytest.mark.parametrize("language", CALLS)
async def test_a_program_whose_worker_was_killed_goes_on_in_another(pool: WorkerPool, language: int) -> None:
    run = program(language)
    first = Execution(await fresh(pool), run, answered=lambda call: call.call_id != 2)
    while len(first.calls) < 3:
        first.called.clear()
        await asyncio.wait_for(first.called.wait(), 30)
    first.link.kill("a test")
    await asyncio.wait_for(first.ended, 30)

    second = Execution(await fresh(pool), replace(run, replay=record(first, mode=ReplayMode.RESUME)))
    second.answer(next(call for call in first.calls if call.call_id == 2))
    outcome = await second.outcome()
    assert json.loads(outcome.result)[:3] == [1, 2, 3]
    assert second.said[0] == "live"
    assert second.calls == []
    assert [number for number, _ in first.lines + second.lines] == [1, 2]


async def test_a_program_is_stopped_before_a_call(pool: WorkerPool) -> None:
    first = Execution(await fresh(pool), program(JAVASCRIPT))
    await first.outcome()
    second = Execution(await fresh(pool), replace(first.run, replay=record(first, until=2)))
    stopped = await second.outcome()
    assert stopped.ending.status is Status.STOPPED
    assert json.loads(stopped.error)["found"]["name"] == "t.write"
    assert second.lines == first.lines[:1]


async def test_a_changed_program_is_told_where_it_differs(pool: WorkerPool) -> None:
    first = Execution(await fresh(pool), program(JAVASCRIPT))
    await first.outcome()
    changed = replace(first.run, program=CALLS[JAVASCRIPT].replace("{n: 2}", "{n: 5}"), replay=record(first))
    diverged = await Execution(await fresh(pool), changed).outcome()
    assert diverged.ending.status is Status.DIVERGED
    error = json.loads(diverged.error)
    assert error["at"] == 2
    assert error["expected"]["digest"] == payload_digest(first.calls[1].payload).hex()
    assert error["found"]["payload"] == first.calls[1].payload.replace("2", "5")


async def test_types_are_erased_again(pool: WorkerPool) -> None:
    code = "const a: {call: number} = await codemode.t.read({n: 1}); return a.call as number"
    first = Execution(await fresh(pool), program(JAVASCRIPT, code, types=Types.IF_NEEDED))
    assert (await first.outcome()).result == "1"
    again = Execution(await fresh(pool), replace(first.run, replay=record(first)))
    assert (await again.outcome()).result == "1"
    assert again.trace == first.trace


async def test_a_long_record_with_large_answers(pool: WorkerPool) -> None:
    code = "let sum = 0; for (let i = 0; i < 1000; i++) sum += (await codemode.t.read({n: i})).text.length; return sum"
    first = Execution(await fresh(pool), program(JAVASCRIPT, code))
    first.answer = lambda call: _large(first, call)  # type: ignore[method-assign]
    outcome = await first.outcome()
    assert outcome.result == str(1_000 * 5_000)
    again = Execution(await fresh(pool), replace(first.run, replay=record(first)))
    assert (await again.outcome()).result == outcome.result
    assert again.trace == first.trace


def _large(execution: Execution, call: Call) -> None:
    execution.answers[call.call_id] = json.dumps({"text": "x" * 5_000})
    execution.link.result(execution.number, call.call_id, ok=True, payload=execution.answers[call.call_id])


async def test_answers_that_do_not_come_with_the_record_are_waited_for(pool: WorkerPool) -> None:
    first = Execution(await fresh(pool), program(PYTHON))
    outcome = await first.outcome()
    whole = record(first)
    bare = [call._replace(answered=False, ok=False, payload="", later=True) for call in whole.calls]
    again = Execution(await fresh(pool), replace(first.run, replay=replace(whole, calls=tuple(bare))))
    for entry in decode(first.trace):
        if entry.call_id:
            again.link.result(1, entry.call_id, ok=True, payload=first.answers[entry.call_id])
    assert (await again.outcome()).result == outcome.result
    assert again.trace == first.trace


async def test_what_a_program_heard_is_told_in_time(pool: WorkerPool) -> None:
    first = Execution(await fresh(pool), program(PYTHON))
    await first.outcome()
    kinds = [type(each).__name__ for each in first.said]
    assert kinds == ["Trace", "Call", "Trace", "LogLine", "Call", "Call", "Trace", "LogLine"]
