"""Sessions through real workers: their isolates are kept between programs, lost, and made again elsewhere."""

import asyncio
import dataclasses
import json
from dataclasses import replace

import pytest

from runtime.isolate import Outcome, Status
from runtime.isolate.erasure import Types
from runtime.isolate.isolate import Isolate
from runtime.worker.frames import Run
from runtime.worker.kept_isolates import Kept, KeptIsolates
from runtime.worker.link import Link
from runtime.worker.pool import WorkerPool
from tests.runtime.test_replay_in_worker import LIMITS, Execution, fresh, pool, program, record

__all__ = ["pool"]

JAVASCRIPT, PYTHON = 0, 1
PROGRAMS = {
    JAVASCRIPT: (
        "let n = (await codemode.t.read({n: 1})).call; const drawn = [Math.random()]; console.log('first', n); n",
        "n += (await codemode.t.read({n: 2})).call; drawn.push(Math.random(), Date.now()); return n",
        "[n, drawn]",
    ),
    PYTHON: (
        "import random\nn = (await codemode.t.read(n=1))['call']\ndrawn = [random.random()]\nprint('first', n)\nn",
        "import time\nn += (await codemode.t.read(n=2))['call']\ndrawn += [random.random(), time.time()]\nreturn n",
        "[n, drawn]",
    ),
}


class Session:
    """Sends the programs of one session to a worker, each under a number of its own."""

    def __init__(self, link: Link, language: int, session: int = 1) -> None:
        self.link, self.language, self.session = link, language, session
        self.position = 0
        self.executions: list[Execution] = []

    async def run(self, code: str, **more: object) -> Outcome:
        self.position += 1
        at = {"session": self.session, "position": self.position}
        return await self.send(dataclasses.replace(program(self.language, code), **at | more))  # type: ignore[arg-type]

    async def send(self, run: Run) -> Outcome:
        number = 1000 * self.session + len(self.executions)
        self.executions.append(Execution(self.link, run, number))
        return await self.executions[-1].outcome()


@pytest.mark.parametrize("language", PROGRAMS)
async def test_the_isolate_is_kept_and_made_again_by_replay(pool: WorkerPool, language: int) -> None:
    session = Session(await fresh(pool), language)
    outcomes = [await session.run(code) for code in PROGRAMS[language]]
    assert [each.ending.status for each in outcomes] == [Status.SUCCEEDED] * 3
    assert [each.kept for each in outcomes] == [1, 2, 3]
    assert [json.loads(each.result) for each in outcomes[:2]] == [1, 2]
    assert session.link.sessions == {1}

    again = Session(await fresh(pool), language)
    for before, outcome in zip(session.executions, outcomes, strict=True):
        replayed = await again.send(replace(before.run, replay=record(before)))
        assert (replayed.ending, replayed.result, replayed.kept) == (outcome.ending, outcome.result, outcome.kept)
        assert again.executions[-1].calls == []
        assert again.executions[-1].lines == before.lines
    again.position = 3
    assert (await again.run("n")).result == "2"
    session.link.close()
    again.link.close()


@pytest.mark.parametrize("language", PROGRAMS)
async def test_sessions_do_not_see_each_other(pool: WorkerPool, language: int) -> None:
    link = await fresh(pool)
    first, second = Session(link, language, 1), Session(link, language, 2)
    assert (await first.run("x = 1")).kept == 1
    assert (await second.run("x")).ending.status is Status.PROGRAM_ERROR
    assert (await first.run("x")).result == "1"
    alone = await Execution(link, program(language, "x"), 7).outcome()
    assert alone.ending.status is Status.PROGRAM_ERROR
    assert alone.kept == 0


@pytest.mark.parametrize("language", PROGRAMS)
async def test_a_limit_ends_the_isolate_and_the_next_program_is_told(pool: WorkerPool, language: int) -> None:
    session = Session(await fresh(pool), language)
    await session.run("x = 1")
    loop = {JAVASCRIPT: "for (;;);", PYTHON: "while True: pass"}[language]
    ended = await session.run(loop, limits=replace(LIMITS, cpu_ms=30))
    assert (ended.ending.status, ended.kept) == (Status.LIMIT_CPU, 0)
    assert session.link.sessions == set()
    session.position = 1
    lost = await session.run("x")
    assert (lost.ending.status, lost.kept, lost.result, lost.error) == (Status.SESSION_LOST, 0, "", "")
    session.position = 0
    assert (await session.run("typeof x" if language == JAVASCRIPT else "'x' in globals()")).kept == 1


async def test_a_session_that_was_ended_is_lost(pool: WorkerPool) -> None:
    session = Session(await fresh(pool), JAVASCRIPT)
    await session.run("x = 1")
    session.link.end_session(1)
    assert (await session.run("x")).ending.status is Status.SESSION_LOST


@pytest.mark.parametrize("position", [1, 3, 4])
async def test_only_the_next_program_finds_the_isolate(pool: WorkerPool, position: int) -> None:
    """Whatever the gateway believes: a program runs after exactly those that it was sent after."""
    session = Session(await fresh(pool), PYTHON)
    await session.run("x = 1")
    session.position = position - 1
    outcome = await session.run("'x' in globals()")
    if position == 1:
        assert (outcome.result, outcome.kept) == ("false", 1)
    else:
        assert (outcome.ending.status, outcome.kept) == (Status.SESSION_LOST, 0)


async def test_types_are_erased_in_the_same_isolate(pool: WorkerPool) -> None:
    session = Session(await fresh(pool), JAVASCRIPT)
    assert (await session.run("const x: number = 1; interface A { n: number }", types=Types.ERASE)).kept == 1
    assert (await session.run("const y: number = x + 1; return y", types=Types.IF_NEEDED)).result == "2"
    assert (await session.run("x + y", types=Types.IF_NEEDED)).result == "3"
    assert session.executions[-1].run.position == 3


async def test_a_program_that_did_not_come_to_run_leaves_the_isolate_as_it_was(pool: WorkerPool) -> None:
    session = Session(await fresh(pool), JAVASCRIPT)
    enum = "enum A { B }"
    refused = await session.run(enum, types=Types.ERASE)
    assert (refused.ending.status, refused.kept) == (Status.PROGRAM_ERROR, 0)
    session.position = 0
    await session.run("x = 1")
    refused = await session.run(enum, types=Types.ERASE)
    assert (refused.ending.status, refused.kept) == (Status.PROGRAM_ERROR, 1)
    session.position = 1
    assert (await session.run("x")).result == "1"


async def test_programs_of_several_sessions_run_side_by_side(pool: WorkerPool) -> None:
    link = await fresh(pool)
    sessions = [Session(link, PYTHON, number) for number in range(1, 6)]
    await asyncio.gather(*(each.run(f"x = {each.session}") for each in sessions))
    outcomes = await asyncio.gather(*(each.run("x") for each in sessions))
    assert [each.result for each in outcomes] == ["1", "2", "3", "4", "5"]


class _Closed:
    def __init__(self) -> None:
        self.closed = 0

    def close(self) -> None:
        self.closed += 1


def _kept(size: int = 10, position: int = 1) -> tuple[_Closed, Kept]:
    isolate = _Closed()
    fake: Isolate = isolate  # type: ignore[assignment]
    return isolate, Kept(fake, 0, position, size)


def test_those_not_used_for_longest_are_let_go_first() -> None:
    all_kept = KeptIsolates(most=2, most_bytes=100)
    made = {session: _kept() for session in (1, 2, 3)}
    all_kept.keep(1, made[1][1])
    all_kept.keep(2, made[2][1])
    taken = all_kept.take(1)
    assert taken is not None
    all_kept.keep(1, taken)
    all_kept.keep(3, made[3][1])
    assert [made[session][0].closed for session in (1, 2, 3)] == [0, 1, 0]
    assert all_kept.take(2) is None


def test_their_bytes_are_bounded_together() -> None:
    all_kept = KeptIsolates(most=9, most_bytes=100)
    made = [_kept(40) for _ in range(3)]
    for session, (_, kept) in enumerate(made):
        all_kept.keep(session, kept)
    assert [isolate.closed for isolate, _ in made] == [1, 0, 0]
    large, kept = _kept(101)
    all_kept.keep(9, kept)
    assert large.closed == 1
    assert [isolate.closed for isolate, _ in made] == [1, 1, 1]


def test_an_ended_one_is_closed_once() -> None:
    all_kept = KeptIsolates()
    isolate, kept = _kept()
    all_kept.keep(1, kept)
    all_kept.end(1)
    all_kept.end(1)
    assert isolate.closed == 1


async def test_a_program_for_a_worker_that_is_gone_is_lost_at_once(pool: WorkerPool) -> None:
    session = Session(await fresh(pool), JAVASCRIPT)
    await session.run("x = 1")
    session.link.kill("a test")
    async with asyncio.timeout(30):
        while session.link.sessions:
            await asyncio.sleep(0.01)
    late = Execution(session.link, program(JAVASCRIPT, "x"), 77)
    assert "ended" in str(await asyncio.wait_for(late.ended, 30))
    assert session.link.load == 0
